"""How often a search would call its rungs worthless, rightly and wrongly, on recorded tables:

    python -m tests.benchmarks.rung_warnings CURVES… [--searches 100] [--trials 350]

Each search trains random configurations of a table one after the other with the default rungs, and
looks at what they are worth after each trial that passes the first one, as a real search does. The
truth is the rank correlation of all rows of the table that belong to the upper third at the rung,
and at those before it. A warning is wrong where that exceeds `NOTHING`.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
from scipy.stats import spearmanr

from results.analysis.rung_worth import NOTHING, rung_worths
from search.early_stopping.asha import Rungs, default_grace
from search.samplers.encoding import Matrix
from search.simulation.recorded_curves import read_curves

FACTOR = 3


def true_correlations(val: Matrix, marks: Sequence[int]) -> list[float]:
    """The rank correlation from each of `marks` to the next one, of the rows that pass."""
    rows, found = np.arange(len(val)), []
    for rung, later in pairwise(marks):
        at = val[rows, rung - 1]
        rows = rows[at >= np.quantile(at, 1 - 1 / FACTOR)]
        found.append(float(spearmanr(val[rows, rung - 1], val[rows, later - 1])[0]))
    return found


def warned(val: Matrix, trials: int, rng: Random) -> set[int]:
    """The rungs that a search of so many trials calls worthless at any time, by their index."""
    epochs = val.shape[1]
    rungs = Rungs(grace=default_grace(epochs), factor=FACTOR, epochs=epochs)
    curves: list[list[float | None]] = []
    found: set[int] = set()
    for number in range(trials):
        values = val[rng.randrange(len(val))].tolist()
        ended = (at for at in rungs.levels if not rungs.record(number, at, values[at - 1]))
        curves.append(values[: next(ended, epochs)])
        if len(curves[-1]) > rungs.levels[0]:
            worths = rung_worths(curves, rungs.levels, epochs)
            found |= {index for index, each in enumerate(worths) if each.worthless}
    return found


def measure(path: Path, searches: int, trials: int) -> tuple[list[float], float, float]:
    """The true correlations, and the shares of searches that warn at all, and wrongly."""
    val = np.nan_to_num(read_curves(path).val, nan=0.0)
    epochs = val.shape[1]
    levels = Rungs(grace=default_grace(epochs), factor=FACTOR, epochs=epochs).levels
    truth = true_correlations(val, (*levels, epochs))
    found = [warned(val, trials, Random(seed)) for seed in range(searches)]
    wrong = {index for index, value in enumerate(truth) if value > NOTHING}
    share = [sum(map(bool, each)) / searches for each in (found, [f & wrong for f in found])]
    return truth, share[0], share[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.rung_warnings")
    parser.add_argument("curves", nargs="+", type=Path)
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--trials", type=int, default=350)
    given = parser.parse_args()
    for path in given.curves:
        truth, warnings, wrong = measure(path, given.searches, given.trials)
        shown = ", ".join(f"{value:+.2f}" for value in truth)
        print(f"| {path.stem} | {shown} | {warnings:.0%} | {wrong:.0%} |", flush=True)


if __name__ == "__main__":
    main()
