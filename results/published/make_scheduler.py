"""Writes the page of `bench_scheduler`'s searches: `python -m results.published.make_scheduler`."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_text_atomically
from results.jsonl import read_lines
from results.published.page_parts import paths_parser, table_head
from results.published.regret_figure import Line, draw
from results.published.regret_statistics import (
    RESAMPLES,
    SHARES,
    Matrix,
    at_shares,
    bootstrap,
    bootstrap_less,
    describe_mean,
    mean_ranks,
    wilcoxon,
)

HERE = Path(__file__).resolve().parent
SEARCHES = HERE / "benchmarks" / "scheduler.jsonl"
RIVALS = HERE / "benchmarks" / "scheduler-rivals.jsonl"
"""This file holds the searches of rivals that were measured later, most of them in environments of
their own. They are compared with the searches of `OURS` and `PLAIN` in the first file, on the same
seeds.
"""

PAGE, FIGURE = HERE / "scheduler.md", HERE / "scheduler.svg"
OURS, PLAIN = "ours", "random + ASHA"
"""In the benchmark's results, the project's policy and the plain policy that it is compared with at
the start have these names.
"""
DECIDING = (
    "ray", "optuna", "syne-tune", "numpy", "scipy", "neural-pipeline-search", "dehb",
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
- Not measured, for the processor time of a search: Syne Tune's ASHACQR (70 s), SMAC's
  multi-fidelity search (28 s), and Optuna's GPSampler on our rungs (beyond 60 s, with PyTorch and
  without greenlet).
"""

FURTHER = """Further rivals search by their own ask and tell, with their defaults and their own
brackets, which begin after one epoch and keep a third; a promoted trial goes on where it paused.
DEHB and NePS run in processes of environments of their own. The prior of PriorBand is a
configuration among the table's best tenth, drawn by seed, with medium confidence. Beside them stand
ours and random + ASHA on the same tasks and seeds.
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


def page(measured: Sequence[Searches]) -> str:
    """Returns the text of the page on search policies, with a table for each number of workers in
    each of `measured`, whose first is the one in the figure.
    """
    searches = measured[0]
    headers = [header for each in measured for header in each.headers]
    parts = [
        INTRODUCTION.format(
            budget=headers[0]["budget"],
            resamples=RESAMPLES,
            tasks=", ".join(searches.tasks),
            versions=_versions(headers),
            commits=", ".join(dict.fromkeys(c[:12] for each in measured for c in each.commits)),
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
        cells = [describe_mean(ends[policy][..., index], ".1f") for index in range(len(SHARES))]
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
    workers = middle(searches)
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
        quarters = [values.shape[-1] * quarter // 4 - 1 for quarter in range(1, 5)]
        cells = [describe_mean(values[..., index], ".1f") for index in quarters]
        other = describe_mean(searches.regret[policy, workers][..., -1], ".1f")
        yield f"| {workers} | {policy} | {' | '.join(cells)} | {other} |"
    yield ""


def middle(searches: Searches) -> int:
    """Returns the number of workers that the figure shows: 8 where they were simulated, else the
    lowest.
    """
    return 8 if 8 in searches.workers else searches.workers[0]


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
        default=[path for path in (SEARCHES, RIVALS) if path.exists()],
        metavar="FILE",
        help="the figure is the first one's; the others are compared with its ours and "
        "random + ASHA",
    )
    options = parser.parse_args(arguments)
    first, *others = options.searches
    measured = [read(first), *(read(path, first) for path in others)]
    workers = middle(measured[0])
    title = f"Regret × 100 over the budget, {workers} workers"
    write_text_atomically(options.out / PAGE.name, page(measured))
    write_text_atomically(options.out / FIGURE.name, draw(lines(measured[0], workers), title))


if __name__ == "__main__":
    main()
