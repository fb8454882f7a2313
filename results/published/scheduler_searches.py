"""Reads the searches that `bench_scheduler` has simulated, and writes what the page tells of those
that propose only a table's rows.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from results.jsonl import read_lines
from results.published.page_parts import table_head
from results.published.regret_statistics import (
    QUARTERS,
    Matrix,
    at_shares,
    bootstrap,
    describe_shares,
    wilcoxon,
)

OURS, PLAIN = "ours", "random + ASHA"
"""In the benchmark's results, the project's policy and the plain policy that it is compared with at
the start have these names.
"""


ROW_INTRODUCTION = """## Only the rows of a table

Above, the nearest row of a table answers whatever a policy proposes, because its rivals choose
freely. In seven or eight dimensions that row is far away: what a model knows of the place that it
proposes says little of the row. Here each policy proposes a table's own configurations, each once
(`bench_scheduler --only-rows`), as when a configuration has a value of its own. Policies that
choose freely can't take part. Regret is that of the configuration which a search hands over, the
one with the highest latest value. p: Wilcoxon's signed-rank test against random + ASHA at 100 %.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Searches:
    """Holds the benchmark's results; `regret` has an array of shape (tasks, seeds, parts of the
    budget) for each (policy, workers), and `cpu_s` the median processor time of a search. `latest`
    is the regret of the configuration with the highest latest value, where that was measured.
    """

    headers: list[dict[str, Any]]
    commits: list[str]
    tasks: list[str]
    regret: dict[tuple[str, int], Matrix]
    cpu_s: dict[tuple[str, int], float]
    latest: dict[tuple[str, int], Matrix]

    @property
    def workers(self) -> list[int]:
        """Returns the numbers of workers that were simulated, rising."""
        return sorted({workers for _, workers in self.regret})

    @property
    def middle(self) -> int:
        """Returns the number of workers that figures and tables of tasks show: 8 where they were
        simulated, else the lowest.
        """
        return 8 if 8 in self.workers else self.workers[0]

    def policies(self, workers: int) -> list[str]:
        """Returns the policies that were simulated with this many workers, by rising mean regret at
        the end.
        """
        found = [policy for policy, count in self.regret if count == workers]
        return sorted(found, key=lambda policy: float(self.regret[policy, workers][..., -1].mean()))


def read(path: Path, first: Path | None = None) -> Searches:
    """Reads the searches in `path`, and beside them those of `OURS` and `PLAIN` in `first`, with
    the same numbers of workers. Only seeds that every policy has on every task are included.
    """
    lines = list(read_lines(path))
    counts = {line["workers"] for line in lines if "policy" in line}
    beside = [s for s in read_lines(first) if s.get("policy") in (OURS, PLAIN)] if first else []
    every = [*(s for s in beside if s["workers"] in counts), *lines]
    found = {(s["policy"], s["workers"], s["task"], s["seed"]): s for s in every if "policy" in s}
    tasks = sorted({task for _, _, task, _ in found})
    regret: dict[tuple[str, int], Matrix] = {}
    cpu_s: dict[tuple[str, int], float] = {}
    latest: dict[tuple[str, int], Matrix] = {}
    for workers in counts:
        policies = list(dict.fromkeys(p for p, count, _, _ in found if count == workers))
        seeds = [
            seed
            for seed in sorted({seed for _, _, _, seed in found})
            if all((p, workers, task, seed) in found for p in policies for task in tasks)
        ]
        for policy in policies if seeds else ():
            own = [[found[policy, workers, t, s] for s in seeds] for t in tasks]
            regret[policy, workers] = np.array([[s["regret"] for s in row] for row in own])
            if all("regret_latest" in s for row in own for s in row):
                rows = [[s["regret_latest"] for s in row] for row in own]
                latest[policy, workers] = np.array(rows)
            cpu_s[policy, workers] = statistics.median(
                found[policy, workers, task, seed]["cpu_s"] for task in tasks for seed in seeds
            )
    headers = [line for line in lines if "policy" not in line]
    commits = list(dict.fromkeys(str(header["commit"]) for header in headers))
    return Searches(
        headers=headers, commits=commits, tasks=tasks, regret=regret, cpu_s=cpu_s, latest=latest
    )


def row_sections(measured: Searches, title: str = "") -> Iterator[str]:
    """Yields the introduction, unless there is a `title` of a further part, a table for each number
    of workers, and one of each task.
    """
    yield f"### {title}\n" if title else ROW_INTRODUCTION
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
