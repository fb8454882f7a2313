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
        return np.array(self._row(params), dtype=np.float64)

    def encode_all(self, configurations: Sequence[Mapping[str, Any]]) -> Matrix:
        """Several configurations, shape (n, width)."""
        rows = [self._row(params) for params in configurations]
        return np.array(rows, dtype=np.float64).reshape(len(rows), self.width)

    def _row(self, params: Mapping[str, Any]) -> list[float]:
        row: list[float] = []
        for name, each in self.space.items():
            row += _axes(each, params.get(name))
        return row


def squared_distances(left: Matrix, right: Matrix) -> Matrix:
    """(n, m), between the rows of two matrices."""
    sums = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
    return np.asarray(np.maximum(sums - 2.0 * left @ right.T, 0.0))


def _width(distribution: BaseDistribution) -> int:
    return len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 1


def _axes(distribution: BaseDistribution, value: Any) -> list[float]:
    if value is None and not _is_choice(distribution, None):
        return [math.nan] * _width(distribution)
    if isinstance(distribution, CategoricalDistribution):
        return [float(choice == value) / math.sqrt(2) for choice in distribution.choices]
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"{distribution} is neither a number's range nor a choice.")
    low, high, at = float(distribution.low), float(distribution.high), float(value)
    if low == high:
        return [0.5]
    if distribution.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return [(at - low) / (high - low)]


def _is_choice(distribution: BaseDistribution, value: Any) -> bool:
    return isinstance(distribution, CategoricalDistribution) and value in distribution.choices
