"""Writes the page of `bench_scheduler`'s searches: `python -m results.published.make_scheduler`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.files import write_text_atomically
from results.published.page_parts import paths_parser, table_head
from results.published.regret_figure import Line, draw
from results.published.regret_statistics import (
    QUARTERS,
    RESAMPLES,
    SHARES,
    at_shares,
    bootstrap,
    bootstrap_less,
    describe_mean,
    describe_shares,
    mean_ranks,
    wilcoxon,
)
from results.published.scheduler_searches import OURS, PLAIN, Searches, read, row_sections

HERE = Path(__file__).resolve().parent
SEARCHES = HERE / "benchmarks" / "scheduler.jsonl"
RIVALS = HERE / "benchmarks" / "scheduler-rivals.jsonl"
"""This file holds the searches of rivals that were measured later, most of them in environments of
their own. They are compared with the searches of `OURS` and `PLAIN` in the first file, on the same
seeds.
"""

ROWS = HERE / "benchmarks" / "scheduler-rows.jsonl"
OWN_ROWS = HERE / "benchmarks" / "scheduler-rows-own.jsonl"
"""These files hold searches that propose only the rows of a table: of the same tasks, and of image
trainings.
"""

PAGE, FIGURE = HERE / "scheduler.md", HERE / "scheduler.svg"
DECIDING = (
    "ray", "optuna", "syne-tune", "numpy", "scipy", "neural-pipeline-search", "dehb", "smac",
)  # fmt: skip
"""The page names the versions of these packages, on which a policy's decisions depend."""

INTRODUCTION = """# Searching, against other ways to search

Simulated searches on recorded learning curves, made by
`python -m tests.benchmarks.bench_scheduler --curves …`, and this page by
`python -m results.published.make_scheduler`. Every policy is driven by the same clock through its
own objects: ours by the `Study` that `search.run` uses.

- A budget is {budget:g} full trainings of a task's epochs, spent in whatever way a policy likes.
- Regret × 100 of the configuration that the policy would hand over, the one with the best value it
  has seen: 0 is the table's best after full training, 100 its median. A configuration counts with
  its value after the last epoch, not with the one for which it was chosen.
- Brackets: 95 % of {resamples:,} bootstrap means, seeds drawn anew within each task.
- Rank: among all policies on the same task with the same seed, 1 is best, ties shared.
- p: Wilcoxon's signed-rank test against ours at 100 %, pairs of the same task and seed.
- CPU s: processor time of a search in seconds, the median.
- Tasks: {tasks}.
- With {versions}; commit {commits}.
- Not measured, for the processor time of a search: Syne Tune's ASHACQR (70 s), and Optuna's
  GPSampler on our rungs (beyond 60 s, with PyTorch and without greenlet).
"""

FURTHER = """Further rivals search by their own ask and tell, with their defaults and their own
brackets, which begin after one epoch and keep a third; a promoted trial goes on where it paused.
DEHB, NePS and SMAC run in processes of environments of their own. The prior of PriorBand is a
configuration among the table's best tenth, drawn by seed, with medium confidence. Beside them stand
ours and random + ASHA on the same tasks and seeds.
"""


def page(
    measured: Sequence[Searches], rows: Searches | None = None, own_rows: Searches | None = None
) -> str:
    """Returns the text of the page on search policies, with a table for each number of workers in
    each of `measured`, whose first is the one in the figure.

    rows, own_rows: searches that propose only the rows of a table, of tasks as those of `measured`
        and of image trainings.
    """
    searches = measured[0]
    every = [*measured, *(each for each in (rows, own_rows) if each)]
    headers = [header for each in every for header in each.headers]
    parts = [
        INTRODUCTION.format(
            budget=headers[0]["budget"],
            resamples=RESAMPLES,
            tasks=", ".join(searches.tasks),
            versions=_versions(headers),
            commits=", ".join(dict.fromkeys(c[:12] for each in every for c in each.commits)),
        ),
        f"![Regret over the budget]({FIGURE.name})\n",
    ]
    for each in measured:
        whose = "" if each is searches else "Further rivals, "
        parts += [FURTHER] if whose else []
        for workers in each.workers:
            parts += [*_table(each, workers, whose), *_against_others(each, workers)]
        parts += _by_task(each, whose)
        parts += _handed_over(each) if each is searches and each.latest else []
    parts += row_sections(rows) if rows else []
    parts += row_sections(own_rows, "On tables of image trainings") if own_rows else []
    return "\n".join(parts)


def _versions(headers: Sequence[Mapping[str, Any]]) -> str:
    """Returns the versions of the packages that decided the searches; not every environment had all
    of them.
    """
    known: dict[str, str] = {"Python": headers[0]["python"]}
    for header in headers:
        found = header["versions"]
        known |= {name: found[name] for name in DECIDING if name in found}
    return ", ".join(f"{name} {version}" for name, version in known.items())


def _table(searches: Searches, workers: int, whose: str) -> Iterator[str]:
    policies = searches.policies(workers)
    ends = {policy: at_shares(searches.regret[policy, workers]) for policy in policies}
    ranks = mean_ranks([ends[policy][..., -1] for policy in policies])
    seeds = searches.regret[policies[0], workers].shape[1]
    yield f"## {whose}{workers} workers, {seeds} seeds a task\n"
    yield table_head("| policy | 25 % | 50 % | 100 % | rank | p | CPU s |")
    for policy, rank in zip(policies, ranks, strict=True):
        cells = describe_shares(searches.regret[policy, workers], SHARES)
        p = "–"
        if policy != OURS and OURS in ends:
            p = f"{wilcoxon(ends[OURS][..., -1], ends[policy][..., -1]):.2g}"
        cpu_s = searches.cpu_s[policy, workers]
        yield f"| {policy} | {' | '.join(cells)} | {rank:.1f} | {p} | {cpu_s:.2g} |"
    yield ""


def _against_others(searches: Searches, workers: int) -> Iterator[str]:
    """Yields sentences that compare the project's policy with the others by its two goals: less
    regret at the end than the best other policy, and no worse a start than random search with ASHA.
    """
    others = [policy for policy in searches.policies(workers) if policy != OURS]
    if not others or (OURS, workers) not in searches.regret:
        return
    ours, best = searches.regret[OURS, workers], searches.regret[others[0], workers]
    less = 100 * (1 - ours[..., -1].mean() / best[..., -1].mean())
    low, high = bootstrap_less(ours[..., -1], best[..., -1])
    yield f"At 100 % ours has {less:.0f} % [{low:.0f}…{high:.0f}] less regret than {others[0]}."
    if PLAIN in others:
        start = 100 * (at_shares(ours) - at_shares(searches.regret[PLAIN, workers]))[..., 0]
        low, high = bootstrap(start)
        interval = f"{start.mean():+.1f} [{low:.1f}…{high:.1f}]"
        yield f"At 25 % its regret differs from that of {PLAIN} by {interval}."
    yield ""


def _by_task(searches: Searches, whose: str) -> Iterator[str]:
    """Yields the table of regret at the end on each task, for the figure's number of workers."""
    workers = searches.middle
    yield f"## {whose or 'Each task: '}regret × 100 at the end, {workers} workers\n"
    yield table_head(f"| policy | {' | '.join(searches.tasks)} |")
    for policy in searches.policies(workers):
        means = 100 * searches.regret[policy, workers][..., -1].mean(axis=1)
        yield f"| {policy} | {' | '.join(f'{mean:.1f}' for mean in means)} |"
    yield ""


def _handed_over(searches: Searches) -> Iterator[str]:
    """Yields the table of regret by what `search.run` hands over."""
    yield "## By what a search hands over\n"
    yield (
        "`search.run` hands over the trial with the highest latest value, not the one with the "
        "highest of\nany epoch ([handed-over.md](handed-over.md)). Policies that were measured "
        "before that rule are left\nout.\n"
    )
    yield table_head("| workers | policy | 25 % | 50 % | 75 % | 100 % | highest of any, 100 % |")
    for (policy, workers), values in sorted(searches.latest.items(), key=lambda each: each[0][1]):
        cells = describe_shares(values, QUARTERS)
        other = describe_mean(searches.regret[policy, workers][..., -1], ".1f")
        yield f"| {workers} | {policy} | {' | '.join(cells)} | {other} |"
    yield ""


def lines(searches: Searches, workers: int) -> list[Line]:
    """Returns each policy's line: its mean regret × 100 over the budget, with the bootstrap
    interval.
    """
    made = []
    for policy in searches.policies(workers):
        regret = 100 * searches.regret[policy, workers]
        bounds = [bootstrap(regret[..., part]) for part in range(regret.shape[-1])]
        made.append(
            Line(
                name=policy,
                middle=[float(mean) for mean in regret.mean(axis=(0, 1))],
                low=[low for low, _ in bounds],
                high=[high for _, high in bounds],
            )
        )
    return made


def main(arguments: list[str] | None = None) -> None:
    """Writes the page and the figure, with `arguments` as the command line (default: that of the
    process).
    """
    parser = paths_parser("make_scheduler", __doc__, out=HERE)
    parser.add_argument(
        "--searches",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="the figure is the first one's; the others are compared with its ours and "
        "random + ASHA (default: all that is published, --rows and --own-rows included)",
    )
    parser.add_argument("--rows", type=Path, metavar="FILE", help="searches with --only-rows")
    parser.add_argument("--own-rows", type=Path, metavar="FILE", help="the same, on own tables")
    options = parser.parse_args(arguments)
    if options.searches is None:
        options.searches = [SEARCHES, RIVALS]
        options.rows = options.rows or ROWS
        options.own_rows = options.own_rows or OWN_ROWS
    first, *others = options.searches
    measured = [read(first), *(read(path, first) for path in others)]
    rows, own_rows = (read(path) if path else None for path in (options.rows, options.own_rows))
    workers = measured[0].middle
    title = f"Regret × 100 over the budget, {workers} workers"
    write_text_atomically(options.out / PAGE.name, page(measured, rows, own_rows))
    write_text_atomically(options.out / FIGURE.name, draw(lines(measured[0], workers), title))


if __name__ == "__main__":
    main()
