"""Writes what the page on search policies tells of searches that propose only a table's rows."""

from collections.abc import Iterator

from results.published.page_parts import table_head
from results.published.regret_statistics import (
    QUARTERS,
    at_shares,
    bootstrap,
    describe_shares,
    wilcoxon,
)
from results.published.scheduler_searches import OURS, PLAIN, Searches

INTRODUCTION = """## Only the rows of a table

Above, the nearest row of a table answers whatever a policy proposes, because its rivals choose
freely. In seven or eight dimensions that row is far away: what a model knows of the place that it
proposes says little of the row. Here each policy proposes a table's own configurations, each once
(`bench_scheduler --only-rows`), as when a configuration has a value of its own. Policies that
choose freely can't take part. Regret is that of the configuration which a search hands over, the
one with the highest latest value. p: Wilcoxon's signed-rank test against random + ASHA at 100 %.
"""


def row_sections(measured: Searches, title: str = "") -> Iterator[str]:
    """Yields the introduction, unless there is a `title` of a further part, a table for each number
    of workers, and one of each task.
    """
    yield f"### {title}\n" if title else INTRODUCTION
    yield table_head("| workers | policy | 25 % | 50 % | 75 % | 100 % | p |")
    for workers in measured.workers:
        plain = measured.latest[PLAIN, workers]
        for policy in measured.policies(workers):
            regret = measured.latest[policy, workers]
            cells = describe_shares(regret, QUARTERS)
            p = "–" if policy == PLAIN else f"{wilcoxon(plain[..., -1], regret[..., -1]):.2g}"
            yield f"| {workers} | {policy} | {' | '.join(cells)} | {p} |"
    yield ""
    yield from (_differences(measured, workers) for workers in measured.workers)
    yield ""
    workers = measured.middle
    yield table_head(f"| {workers} workers, at 25 and 100 % | {' | '.join(measured.tasks)} |")
    for policy in measured.policies(workers):
        ends = 100 * at_shares(measured.latest[policy, workers], QUARTERS).mean(axis=1)
        cells = [f"{end[0]:.1f}, {end[-1]:.1f}" for end in ends]
        yield f"| {policy} | {' | '.join(cells)} |"
    yield ""


def _differences(measured: Searches, workers: int) -> str:
    """Returns a sentence on how much the regret of the project's policy differs from that of random
    configurations with ASHA.
    """
    ours, plain = (at_shares(measured.latest[name, workers], QUARTERS) for name in (OURS, PLAIN))
    cells = []
    for index, share in enumerate(QUARTERS):
        difference = 100 * (ours - plain)[..., index]
        low, high = bootstrap(difference)
        cells.append(f"{difference.mean():+.1f} [{low:+.1f}…{high:+.1f}] at {share:.0%}")
    seeds = ours.shape[1]
    return (
        f"- With {workers} workers, {seeds} seeds a task, ours differs from {PLAIN} by "
        f"{', '.join(cells)}."
    )
