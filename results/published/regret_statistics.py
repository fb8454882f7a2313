"""Compares search policies by their regret: bootstrap intervals, ranks and a paired test."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

SHARES = (0.25, 0.5, 1.0)
"""The tables show regret at these shares of the budget."""
QUARTERS = (0.25, 0.5, 0.75, 1.0)
"""Tables of what a search hands over show regret at these shares."""
RESAMPLES = 2000
"""Intervals are computed from this many bootstrap resamples."""

Matrix = NDArray[np.float64]


def at_shares(regret: Matrix, shares: Sequence[float] = SHARES) -> Matrix:
    """Returns regret at `shares` of the budget, of shape (…, shares), from regret over the whole
    budget, of shape (…, parts).
    """
    parts = regret.shape[-1]
    return regret[..., [round(share * parts) - 1 for share in shares]]


def describe_shares(regret: Matrix, shares: Sequence[float]) -> list[str]:
    """Returns the mean of regret × 100 with its interval at each of `shares` of the budget, from
    regret over the whole budget, of shape (tasks, seeds, parts).
    """
    found = at_shares(regret, shares)
    return [describe_mean(found[..., index], ".1f") for index in range(len(shares))]


def bootstrap(values: Matrix) -> tuple[float, float]:
    """Returns the 95 % bootstrap interval of the mean of `values`, of shape (tasks, seeds); seeds
    are resampled within each task.
    """
    return _middle_95(_resampled(values))


def describe_mean(values: Matrix, digits: str) -> str:
    """Returns the mean of regrets × 100 with its bootstrap interval, as in `13.6 [10.9…16.3]`;
    `digits` is the format of a number, such as `.1f`.
    """
    low, high = bootstrap(100 * values)
    return f"{100 * values.mean():{digits}} [{low:{digits}}…{high:{digits}}]"


def bootstrap_less(ours: Matrix, theirs: Matrix) -> tuple[float, float]:
    """Returns the 95 % bootstrap interval of how much lower the mean of `ours` is than that of
    `theirs`, in per cent; both have the shape (tasks, seeds), and pairs of seeds are resampled.
    """
    return _middle_95(100 * (1 - _resampled(ours) / _resampled(theirs)))


def _resampled(values: Matrix) -> Matrix:
    """Returns `RESAMPLES` bootstrap means of an array of shape (tasks, seeds). The seeds resampled
    are the same at every call, which keeps pairs together.
    """
    tasks, seeds = values.shape
    drawn = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, tasks, seeds))
    means: Matrix = np.take_along_axis(values[None], drawn, axis=2).mean(axis=(1, 2))
    return means


def _middle_95(means: Matrix) -> tuple[float, float]:
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def mean_ranks(values: Sequence[Matrix]) -> list[float]:
    """Returns each policy's mean rank over all pairs of task and seed, 1 being the best; ties share
    their ranks.
    """
    ranks = stats.rankdata(np.array([each.ravel() for each in values]), axis=0)
    return [float(rank) for rank in ranks.mean(axis=1)]


def wilcoxon(ours: Matrix, theirs: Matrix) -> float:
    """Returns the two-sided p-value of Wilcoxon's signed-rank test for equal regret, and 1 where no
    pair differs.
    """
    difference = (theirs - ours).ravel()
    return float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0
