"""Writes the page of what a search hands over: `python -m results.published.make_handed_over`."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np

from common.files import write_text_atomically
from results.analysis.curve_table import read_table
from results.jsonl import read_lines
from results.published.page_parts import paths_parser, table_head
from results.published.regret_statistics import (
    RESAMPLES,
    SHARES,
    Matrix,
    at_shares,
    describe_mean,
    wilcoxon,
)
from results.published.rung_witnesses import by_run

HERE = Path(__file__).resolve().parent
SEARCHES = HERE / "benchmarks" / "handed-over.jsonl"
OWN_SEARCHES = HERE / "benchmarks" / "handed-over-own.jsonl"
"""This file holds searches of the project's own recorded tables."""

TABLES = HERE / "curves"
PAGE = HERE / "handed-over.md"

RULES = {"regret_latest": "highest latest value", "regret": "highest value of any epoch"}
"""Each rule by the name of its regret in the benchmark's lines."""

INTRODUCTION = """# What a search hands over

The best trial is the one with the highest val_top1 after its latest epoch, of all that neither
failed nor diverged, running ones included (`results/analysis/ranking.py`). Many tools choose the
highest value of any epoch instead. Both rules choose from the same simulated searches, made by

    python -m tests.benchmarks.bench_scheduler --curves … --policy ours "random + ASHA" \\
        --workers 8 --first-seed 20 --rounds 20 --out handed-over.json

- Regret × 100 of the configuration handed over, as in [scheduler.md](scheduler.md): 0 is the
  table's best after full training, 100 its median; a configuration counts with its value after the
  last epoch.
- The rule was chosen on the seeds 0 to 19 of the same tasks, and these searches have the seeds
  {seeds}: {tasks}.
- Brackets: 95 % of 2,000 bootstrap means, seeds drawn anew within each task. p: Wilcoxon's
  signed-rank test of the pairs. Better and worse count the searches whose regret differs.
- Also tried on the seeds 0 to 19 with ours: the best latest value of complete trials alone, once
  1, 5, 10 or 15 of them are complete (more regret than by the highest value: at 50 % of the budget
  5.4, 4.5, 3.2 and 1.3, at 100 % 1.3, 1.1, 0.8 and 0.8, because a running trial may already be
  better), and the mean of the last three epochs (no better than the last one).

## On LCBench and TaskSet
"""

OWN = """## On our own recorded tables

The same benchmark on the tables of recorded image training in
[curves](curves/README.md), which had 107 and 32 configurations, with
the seeds {seeds}: {tasks}. That random + ASHA
leaves less regret than ours there is looked into in [LOG.md](LOG.md), «Our own tables as
judges».
"""

RETRAINED = """## When to stop a configuration that is trained again

The handed-over configuration may be trained again to the epoch that was its best in the search
instead of to its last one. Of the configurations that a recorded table has with several seeds, one
seed chooses the epoch (*epoch-exact*), and val_top1 of another seed at that epoch is compared with
its own at the end. *Early stopping* compares a seed's highest val_top1 with its last one: as both
the choice and the figure come from val, this is what early stopping seems to gain there. In
points, the mean of all pairs of seeds, with 95 % of {resamples:,} bootstrap means over
configurations.
"""


def page(path: Path, own: Path, tables: Path) -> str:
    """Returns the text of the page, from the benchmark's lines in `path` and, of searches of the
    project's own tables, in `own`, and from the recorded tables in the folder `tables`.
    """
    return "\n".join([*_rules(path, INTRODUCTION), *_rules(own, OWN), *_retrained(tables)])


def _rules(path: Path, introduction: str) -> list[str]:
    """Returns the introduction and a table of both rules for each policy."""
    found = {(s["policy"], s["task"], s["seed"]): s for s in read_lines(path) if "policy" in s}
    policies = list(dict.fromkeys(policy for policy, _, _ in found))
    tasks = sorted({task for _, task, _ in found})
    seeds = sorted({seed for _, _, seed in found})

    def regret(policy: str, rule: str) -> Matrix:
        return np.array([[found[policy, task, seed][rule] for seed in seeds] for task in tasks])

    parts = [introduction.format(seeds=f"{seeds[0]} to {seeds[-1]}", tasks=", ".join(tasks))]
    for policy in policies:
        parts += _table(policy, *(at_shares(regret(policy, rule)) for rule in RULES))
    return parts


def _retrained(tables: Path) -> Iterator[str]:
    """Yields the table of what other ends of a repeated training gain, in points of val_top1."""
    yield RETRAINED.format(resamples=RESAMPLES)
    yield table_head("| table | configurations | epoch-exact | early stopping |")
    for path in sorted(tables.glob("*.npz")):
        seeds: dict[int, list[Matrix]] = {}
        for (row, _), training in by_run(read_table(path), "full").items():
            curve = np.array(training["curves"].get("val_top1", [np.nan]), dtype=np.float64)
            if np.isfinite(curve).all():  # it didn't diverge
                seeds.setdefault(row, []).append(curve)
        pairs = [list(permutations(curves, 2)) for curves in seeds.values() if len(curves) > 1]
        if len(pairs) > 1:
            exact = [[b[np.argmax(a)] - b[-1] for a, b in of_row] for of_row in pairs]
            highest = [[b.max() - b[-1] for _, b in of_row] for of_row in pairs]
            cells = [_points(exact), _points(highest)]
            yield f"| `{path.stem}` | {len(pairs)} | {' | '.join(cells)} |"
    yield ""


def _points(gains: list[list[float]]) -> str:
    """Returns the mean of the configurations' mean gains, with its interval."""
    return describe_mean(np.array([[np.mean(of_row) for of_row in gains]]), "+.2f")


def _table(policy: str, latest: Matrix, highest: Matrix) -> Iterator[str]:
    yield f"### {policy}\n"
    yield table_head("| rule | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
    for name, values in zip(RULES.values(), (latest, highest), strict=True):
        yield _row(name, [describe_mean(values[..., index], ".2f") for index in range(len(SHARES))])
    lower = latest - highest
    yield _row(
        "difference", [describe_mean(lower[..., index], "+.2f") for index in range(len(SHARES))]
    )
    yield _row("better, worse, p", [_count(latest, highest, i) for i in range(len(SHARES))])
    yield ""


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _count(latest: Matrix, highest: Matrix, index: int) -> str:
    one, other = latest[..., index], highest[..., index]
    better, worse = int((one < other).sum()), int((one > other).sum())
    return f"{better}, {worse}, {wilcoxon(one, other):.2g}"


def main(arguments: list[str] | None = None) -> None:
    """Writes the page, with `arguments` as the command line (default: that of the process)."""
    parser = paths_parser(
        "make_handed_over", __doc__, searches=SEARCHES, own=OWN_SEARCHES, tables=TABLES, out=HERE
    )
    options = parser.parse_args(arguments)
    text = page(options.searches, options.own, options.tables)
    write_text_atomically(options.out / PAGE.name, text)


if __name__ == "__main__":
    main()
