"""Encodes parameters as points of the unit cube, in which distances between configurations are
meaningful.
"""

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
"""A vector is an array of floats of shape (n,)."""
Matrix = NDArray[np.float64]
"""A matrix is an array of floats of shape (n, m)."""


class Encoding:
    """Maps the parameters of `space` to vectors. A number maps to 0…1 along its range, or along the
    logarithm of its range.

    A categorical parameter takes one axis for each of its choices, scaled so that two choices are
    as far apart as the ends of a number's range. A parameter that a configuration lacks, because it
    counts only beside another one's value, is NaN. `width` is the number of axes, and `owners`, of
    shape (width,), holds the index of the parameter that each axis belongs to.
    """

    def __init__(self, space: Mapping[str, BaseDistribution]) -> None:
        self.space = dict(space)
        widths = [_width(each) for each in self.space.values()]
        self.width = sum(widths)
        self.owners = np.repeat(np.arange(len(widths)), widths)

    def encode(self, params: Mapping[str, Any]) -> Vector:
        """Returns the vector of one configuration, of shape (width,)."""
        return np.asarray(self.encode_all([params])[0])

    def encode_all(self, configurations: Sequence[Mapping[str, Any]]) -> Matrix:
        """Returns the vectors of several configurations, of shape (n, width)."""
        points = np.empty((len(configurations), self.width))
        for parameter, (name, each) in enumerate(self.space.items()):
            values = [params.get(name) for params in configurations]
            points[:, self.owners == parameter] = _axes(each, values)
        return points


def squared_distances(left: Matrix, right: Matrix) -> Matrix:
    """Returns the squared Euclidean distances between the rows of two matrices, of shape (n, m)."""
    sums = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
    return np.asarray(np.maximum(sums - 2.0 * left @ right.T, 0.0))


def _width(distribution: BaseDistribution) -> int:
    return len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 1


def _axes(distribution: BaseDistribution, values: Sequence[Any]) -> Matrix:
    """Returns the axes of one parameter for n values, of shape (n, number of its axes). Raises
    `TypeError` for an unknown kind of distribution.
    """
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
