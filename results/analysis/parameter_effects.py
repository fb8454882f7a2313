"""Estimates what each parameter does to an outcome, from trainings that differ in all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from results.analysis.intervals import CONFIDENCE

RESAMPLES = 2000
"""Intervals come from so many resamples of the configurations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """Holds by how much an outcome differs where a property is 1 instead of 0, all others equal,
    with a bootstrap interval of the probability `CONFIDENCE`.

    stands_out: whether the difference is more than chance gives to one of all properties together
    (Bonferroni's correction of the normal approximation).
    """

    value: float
    low: float
    high: float
    stands_out: bool


def effects(
    properties: Mapping[str, NDArray[np.float64]], outcome: NDArray[np.float64]
) -> dict[str, Effect]:
    """Returns the effect of each property: the coefficients of an ordinary least squares fit of all
    of them together, and of a constant.

    properties: name -> a number for each configuration, such as 1 where it has MixUp, else 0. None
    may follow from the others, and no resample may lack one, so each needs several configurations.
    outcome: a number for each configuration.
    """
    columns = np.column_stack([np.ones(len(outcome)), *properties.values()])
    found = _fit(columns, outcome)
    drawn = np.random.default_rng(0).integers(len(outcome), size=(RESAMPLES, len(outcome)))
    resampled = np.array([_fit(columns[rows], outcome[rows]) for rows in drawn])
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [outside, 1 - outside], axis=0)
    most = NormalDist().inv_cdf(1 - outside / len(properties))
    apart = np.abs(found) > most * resampled.std(axis=0, ddof=1)
    return {
        name: Effect(value=value, low=below, high=above, stands_out=bool(clear))
        for name, value, below, above, clear in zip(
            properties, found.tolist(), low.tolist(), high.tolist(), apart, strict=True
        )
    }


def _fit(columns: NDArray[np.float64], outcome: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the coefficients without that of the constant, which is the first column's."""
    fitted = np.linalg.lstsq(columns, outcome, rcond=None)[0]
    return np.asarray(fitted[1:], dtype=np.float64)
