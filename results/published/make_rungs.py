"""Writes the page on what early results tell: `python -m results.published.make_rungs`.

The command reads the project's tables of recorded trainings (`--tables`), and other tables of
curves where they are named by `--curves`.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from common.files import write_text_atomically
from results.analysis.curve_table import read_table
from results.analysis.rung_worth import spearman
from results.published.page_parts import paths_parser, table_head
from results.published.regret_figure import Line, draw
from results.published.rung_witnesses import Table, Values, Witness, curves_table, own_table

HERE = Path(__file__).resolve().parent
TABLES, PAGE = HERE / "curves", HERE / "rungs.md"

RESAMPLES = 2000
"""Intervals come from this many bootstrap samples."""

FEWEST = 20
"""A table counts with at least this many configurations, because intervals are useless below."""

INTRODUCTION = """# What early results tell

A search stops two thirds of its trials at each rung, by what they show there. This page says what
that is worth in real image trainings, and what other early witnesses would be worth for their cost.
Made by `python -m results.published.make_rungs --curves algoperf-imagenet_resnet.npz` from the
[recorded trainings](curves/README.md) and a table of AlgoPerf's.

- **cost**: processor time until the witness is known, as a share of a full training. That of a
  cool-down branch counts the training to the rung and the branch.
- **all**: Spearman's rank correlation with the accuracy after the full training; **best third**:
  that among the third of the configurations that is best in the end.
- **survive**: of the best tenth in the end, the share that the witness ranks among the upper third.
- **lost**: accuracy of the best configuration in the end, less that of the best one in the upper
  third, in points.
- Brackets: 95 % of {resamples:,} bootstrap samples of the configurations; where one was trained
  with several seeds, each sample takes one of them.
- `average`: the accuracy of weights averaged over about one epoch; `cool-down`: of a branch in
  which the learning rate falls to 0; `annealed`: of a training that is short from its beginning;
  `quarter of the images`, `half the size`: of a training on fewer or smaller images.
- **other seed**: the full training's own accuracy with another seed, where there are repeats: no
  witness can be expected to tell more.

The correlation alone decides nothing: what a search compares by default changes only where that
lowers the regret of simulated searches on two tables of 80 configurations or more.
"""


def statistics(early: Values, ends: Values) -> Values:
    """Returns (all, best third, survive, lost) of n configurations, both arrays of shape (n,)."""
    count = len(ends)
    order = np.argsort(-ends, kind="stable")
    passed = rankdata(-early) <= count / 3
    best_tenth = order[: max(1, round(count / 10))]
    third = order[: max(3, round(count / 3))]
    lost = ends.max() - (ends[passed].max() if passed.any() else ends.min())
    survive = float(passed[best_tenth].mean())
    return np.array([spearman(early, ends), spearman(early[third], ends[third]), survive, lost])


def bootstrapped(early: Values, ends: Values, resamples: int) -> tuple[Values, Values, Values]:
    """Returns the statistics, and the ends of their 95 % intervals, all of shape (4,).

    The statistics are the mean over samples in which each configuration is there once.
    """
    rng = np.random.default_rng(0)
    valid = ~np.isnan(early) & ~np.isnan(ends)
    kept = valid.any(1)
    early, ends, valid = early[kept], ends[kept], valid[kept]
    whole = np.arange(len(ends))
    once = [statistics(*_pick(early, ends, valid, whole, rng)) for _ in range(20)]
    again = [
        statistics(*_pick(early, ends, valid, rng.integers(len(ends), size=len(ends)), rng))
        for _ in range(resamples)
    ]
    low, high = np.percentile(again, [2.5, 97.5], axis=0)
    return np.mean(once, 0), low, high


def _pick(
    early: Values, ends: Values, valid: NDArray[np.bool_], rows: NDArray[np.intp],
    rng: np.random.Generator,
) -> tuple[Values, Values]:  # fmt: skip
    """Returns both values of each row with one of its seeds."""
    seeds = np.argmax(rng.random((len(rows), ends.shape[1])) * valid[rows], axis=1)
    return early[rows, seeds], ends[rows, seeds]


def other_seed(table: Table) -> Values | None:
    """Returns the ends with each seed's successor in place of it, of the configurations that were
    trained with several, or `None` where there are fewer than five.
    """
    several = (~np.isnan(table.ends)).sum(1) > 1
    shifted = np.roll(table.ends, 1, axis=1)
    return np.where(several[:, None], shifted, np.nan) if several.sum() >= 5 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Worth:
    """Holds a witness, the number of configurations that have it, and its four statistics with the
    ends of their intervals, as `statistics` orders them.
    """

    witness: Witness
    count: int
    middle: Values
    low: Values
    high: Values


def worth_of(table: Table, resamples: int) -> list[Worth]:
    """Returns what each witness of a table is worth, in the order of their cost."""
    witnesses = list(table.witnesses)
    if (other := other_seed(table)) is not None:
        witnesses.append(Witness(kind="other seed", when="at the end", cost=1.0, values=other))
    found = []
    for each in witnesses:
        middle, low, high = bootstrapped(each.values, table.ends, resamples)
        count = int((~np.isnan(each.values) & ~np.isnan(table.ends)).any(1).sum())
        found.append(Worth(witness=each, count=count, middle=middle, low=low, high=high))
    return found


def figure(name: str, found: Sequence[Worth]) -> str:
    """Returns a figure of the rank correlations over the cost, as SVG, with a line for each kind of
    witness that is known at several times.
    """
    kinds = dict.fromkeys(each.witness.kind for each in found)
    groups = {kind: [each for each in found if each.witness.kind == kind] for kind in kinds}
    lines = [
        Line(
            name=kind,
            middle=[100 * max(0.0, each.middle[0]) for each in group],
            low=[100 * max(0.0, each.low[0]) for each in group],
            high=[100 * each.high[0] for each in group],
            at=[each.witness.cost for each in group],
        )
        for kind, group in groups.items()
        if len(group) > 1
    ]
    title = f"{name}: rank correlation with the end × 100, over the cost of a full training"
    return draw(lines, title)


def _row(each: Worth) -> str:
    rho, third, survive, lost = zip(each.middle, each.low, each.high, strict=True)
    return (
        f"| {each.witness.kind} {each.witness.when} | {each.witness.cost:.3f} | {each.count} "
        f"| {_interval(rho)} | {_interval(third)} | {_interval(survive, 100, 0)} "
        f"| {_interval(lost, 100, 1)} |"
    )


def _interval(figure: tuple[float, float, float], scale: float = 1, digits: int = 2) -> str:
    middle, low, high = (f"{scale * value:.{digits}f}" for value in figure)
    return f"{middle} [{low}…{high}]"


def page(tables: Sequence[tuple[Table, Sequence[Worth]]], resamples: int) -> str:
    """Returns the text of the page on what early results tell."""
    parts = [INTRODUCTION.format(resamples=resamples)]
    head = "| witness | cost | n | all | best third | survive, % | lost |"
    for table, found in tables:
        rows = "\n".join(map(_row, found))
        parts.append(f"## `{table.name}`: {len(table.ends)} configurations\n")
        parts.append(f"![Rank correlation over cost](rungs-{table.name}.svg)\n")
        parts.append(f"{table_head(head)}\n{rows}\n")
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Writes the page and a figure for each table beside it, and returns the exit code, 0."""
    parser = paths_parser("make_rungs", __doc__, tables=TABLES, out=PAGE)
    parser.add_argument("--curves", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, metavar="N")
    options = parser.parse_args(arguments)
    own = [own_table(path.stem, read_table(path)) for path in sorted(options.tables.glob("*.npz"))]
    tables = [*(t for t in own if len(t.ends) >= FEWEST), *map(curves_table, options.curves)]
    found = [(table, worth_of(table, options.resamples)) for table in tables]
    write_text_atomically(options.out, page(found, options.resamples))
    for table, worth in found:
        path = options.out.with_name(f"rungs-{table.name}.svg")
        write_text_atomically(path, figure(table.name, worth))
    return 0


if __name__ == "__main__":
    sys.exit(main())
