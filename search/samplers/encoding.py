"""Parameters as points of the unit cube, where distances between configurations mean something."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


class Encoding:
    """Maps parameters of `space` to vectors: numbers to 0…1 along their range, or its logarithm.

    A choice takes an axis for each of its values, scaled so that two values are as far apart as
    the ends of a number's range. A parameter that isn't given (it counts beside another's value
    only) is NaN. `owners` (width,) numbers the parameter that each axis is of.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.space = dict(space)
        widths = [_width(each) for each in self.space.values()]
        self.width = sum(widths)
        self.owners = np.repeat(np.arange(len(widths)), widths)

    def encode(self, params: Mapping[str, Any]) -> Vector:
        """One configuration, shape (width,)."""
        return np.asarray(self.encode_all([params])[0])

    def encode_all(self, configurations: Sequence[Mapping[str, Any]]) -> Matrix:
        """Several configurations, shape (n, width)."""
        points = np.empty((len(configurations), self.width))
        for parameter, (name, each) in enumerate(self.space.items()):
            values = [params.get(name) for params in configurations]
            points[:, self.owners == parameter] = _axes(each, values)
        return points


def squared_distances(left: Matrix, right: Matrix) -> Matrix:
    """(n, m), between the rows of two matrices."""
    sums = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
    return np.asarray(np.maximum(sums - 2.0 * left @ right.T, 0.0))


def _width(distribution: BaseDistribution) -> int:
    return len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 1


def _axes(distribution: BaseDistribution, values: Sequence[Any]) -> Matrix:
    """The axes of one parameter, shape (n, its width)."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        axes = np.array([[choice == value for choice in choices] for value in values], dtype=float)
        axes = axes.reshape(len(values), len(choices)) / math.sqrt(2)
        axes[[value is None and None not in choices for value in values]] = math.nan
        return axes
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"{distribution} is neither a number's range nor a choice.")
    at = np.array(values, dtype=np.float64)  # None becomes NaN
    low, high = float(distribution.low), float(distribution.high)
    if low == high:
        return np.where(np.isnan(at), math.nan, 0.5)[:, None]
    if distribution.log:
        low, high, at = math.log(low), math.log(high), np.log(at)
    return np.asarray((at - low) / (high - low))[:, None]
