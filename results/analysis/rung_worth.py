"""Estimates what a search's rungs are worth: how well the order at a rung predicts a later one.

A rung lets the upper third go on, so that only those trials show what became of them. Their
correlation is therefore that within the upper third, which is lower than that of all trials: on
recorded tables in which a rung's correlation with the end is 0.75, that of the trials which passed
it is 0.1 to 0.6. It answers how well the rung tells the good ones from each other, not how well it
finds the bad ones.

The later value is that at the next rung, or after the last epoch where the rung is the last one,
because each further rung selects again: on a table of ImageNet trainings whose first rung has a
correlation of 0.74 with the end, trials that have reached the end show none in 87 of 100 searches.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.cli import quote_command
from results.analysis.intervals import CONFIDENCE, Interval
from results.records import EpochMetrics, StopReason, TrialRecord

FEWEST = 8
"""With fewer trials that have passed a rung, nothing is known of it yet."""

NOTHING = 0.2
"""A rung is worthless where the upper end of the correlation's interval is at most this value."""

ENOUGH = 20
"""A rung counts as worthless only if at least this many trials have passed it, because a search
looks at its rungs after each of them, and the interval holds for a single look.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RungWorth:
    """Holds what is known of the rung at the epoch `rung` from the `trials` that reached the epoch
    `later` too.

    `correlation` is Spearman's rank correlation of the two values of val_top1, and `found` the
    share of the later best third that was in the upper third at the rung: 1/3 by chance. Both are
    `None` for fewer than `FEWEST` trials, or for equal values.
    """

    rung: int
    later: int
    trials: int
    correlation: Interval | None = None
    found: float | None = None

    @property
    def worthless(self) -> bool:
        """Returns whether the rung predicts next to nothing of the later order, or its opposite."""
        if self.correlation is None or self.trials < ENOUGH:
            return False
        return self.correlation.high <= NOTHING

    def describe(self) -> str:
        """Returns the correlation with its interval, or that it isn't known yet."""
        if self.correlation is None:
            return "not known yet"
        each = self.correlation
        return f"{each.mean:+.2f} ({each.low:+.2f} … {each.high:+.2f})"


def rung_worths(
    curves: Sequence[Sequence[float | None]], rungs: Sequence[int], epochs: int
) -> list[RungWorth]:
    """Returns what each rung is worth, the first one first.

    curves: val_top1 after each epoch so far of each trial, of trials of one length.
    rungs: the epochs after which trials are compared.
    epochs: the length of a trial.
    """
    return [
        _worth(rung, later, [(c[rung - 1], c[later - 1]) for c in curves if len(c) >= later])
        for rung, later in pairwise((*rungs, epochs))
    ]


def _worth(rung: int, later: int, pairs: Sequence[tuple[float | None, float | None]]) -> RungWorth:
    at, after = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    n = len(at)
    if n < FEWEST or not np.ptp(at) or not np.ptp(after):
        return RungWorth(rung=rung, later=later, trials=n)
    third = round(n / 3)
    best = np.argsort(-after, kind="stable")[:third]
    upper = np.argsort(-at, kind="stable")[:third]
    return RungWorth(
        rung=rung,
        later=later,
        trials=n,
        correlation=_rank_correlation(at, after),
        found=len(np.intersect1d(best, upper)) / third,
    )


def spearman(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Returns Spearman's rank correlation, and 0 where one side is constant."""
    if not np.ptp(left) or not np.ptp(right):
        return 0.0
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def _rank_correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> Interval:
    """Returns Spearman's correlation with the interval of Fisher's transformation, whose variance
    is (1 + r² / 2) / (n − 3) for ranks (Bonett & Wright 2000, doi:10.1007/BF02294183).
    """
    r = spearman(left, right)
    # The transformation of 1 is infinite.
    middle = math.atanh(min(max(r, -0.9999), 0.9999))
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    half = z * math.sqrt((1 + r * r / 2) / (len(left) - 3))
    return Interval(mean=r, low=math.tanh(middle - half), high=math.tanh(middle + half))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns each value's rank; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def worths_of_run(
    trials: Mapping[int, TrialRecord], epochs: Mapping[int, Sequence[EpochMetrics]]
) -> list[RungWorth]:
    """Returns what the rungs of a run are worth: those after which trials were stopped, of trials
    as long as the latest one. There are none where no rung has stopped a trial.
    """
    # A trial whose proposal failed has no configuration.
    lengths = {number: r.config["epochs"] for number, r in trials.items() if "epochs" in r.config}
    if not lengths:
        return []
    length = int(lengths[max(lengths)])
    alike = {number: r for number, r in trials.items() if r.config.get("epochs") == length}
    rungs = sorted({r.epochs for r in alike.values() if r.reason is StopReason.RUNG})
    curves = [[metrics.val_top1 for metrics in epochs[number]] for number in alike]
    return rung_worths(curves, rungs, length) if rungs else []


def advise(worths: Sequence[RungWorth], run: str, options: Mapping[str, Any]) -> str | None:
    """Returns a sentence on the first worthless rung with the remedy, or `None` where there is
    none.

    The remedy is a first rung at the next one that isn't worthless, or at the last epoch, where no
    trial is stopped any more.

    run: the path of the run, from which a new search can learn.
    options: the options of the run, of which the new search has the space and the dataset.
    """
    first = next((each for each in worths if each.worthless), None)
    if first is None:
        return None
    epochs = worths[-1].later
    better = (each.rung for each in worths if each.rung > first.rung and not each.worthless)
    alike = [(f"--{name}", options[name]) for name in ("space", "dataset") if options.get(name)]
    command = quote_command(
        "python -m search.run",
        *(word for pair in alike for word in pair),
        *("--epochs", epochs, "--grace", next(better, epochs), "--warm-start", run),
        data=options.get("data", "data"),
    )
    return (
        f"Among the {first.trials} trials that passed the rung at epoch {first.rung}, their order "
        f"there doesn't predict that at epoch {first.later} (rank correlation "
        f"{first.describe()}): begin a new search with `{command}`."
    )
