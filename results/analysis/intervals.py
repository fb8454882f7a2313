"""Confidence intervals of means and of proportions."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95

FEWEST_REPEATS = 2
"""An interval needs two values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean, and where the true one lies with `CONFIDENCE`."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """mean ± t · s / √n, with the quantile of n − 1 degrees of freedom, for n ≥ 2 values."""
    from scipy.special import stdtrit  # takes a moment that readers without finalists needn't wait

    n, mean = len(values), statistics.fmean(values)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    half = quantile * statistics.stdev(values) / math.sqrt(n)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def proportion(share: float, n: int) -> Interval:
    """Where the true share lies when `share` of `n` independent cases were hits (Wilson 1927)."""
    z = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(mean=share, low=middle - half, high=middle + half)
