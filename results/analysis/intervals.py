"""Computes confidence intervals for means and for proportions."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""All confidence intervals in records and on pages are 95 % intervals."""

FEWEST_REPEATS = 2
"""A confidence interval of a mean needs at least two values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Holds a confidence interval: the estimated mean, and the bounds between which the true mean
    lies with the probability `CONFIDENCE`.
    """

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Returns the interval mean ± t · s / √n of n ≥ 2 values, where t is the quantile of Student's
    distribution with n − 1 degrees of freedom and s the standard deviation.
    """
    from scipy.special import stdtrit  # slow to import, and only needed where there are repeats

    n, mean = len(values), statistics.fmean(values)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    half = quantile * statistics.stdev(values) / math.sqrt(n)
    return Interval(mean=mean, low=mean - half, high=mean + half)


def interval_of_repeats(values: Sequence[float], least: float = 0.0) -> Interval | None:
    """Returns the interval of the mean of accuracies, cut at 1 and at `least`, below which none can
    lie, or `None` for fewer than `FEWEST_REPEATS` values.
    """
    if len(values) < FEWEST_REPEATS:
        return None
    whole = interval(values)
    return Interval(mean=whole.mean, low=max(whole.low, least), high=min(whole.high, 1.0))


def proportion(share: float, n: int) -> Interval:
    """Returns the Wilson score interval (Wilson 1927) of a share: `share` (0…1) of `n` independent
    cases were hits.
    """
    z = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(mean=share, low=middle - half, high=middle + half)
