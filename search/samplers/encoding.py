"""Encodes parameters as points of the unit cube, in which distances between configurations are
meaningful.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
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

_AT_ONCE = 500
"""Distances to so many points are computed at once, because the processor's cache holds them."""


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

    def decode(self, point: Vector) -> dict[str, Any]:
        """Returns the parameters at a point, of shape (width,), each within its range and on its
        step. A parameter whose axes are NaN is lacking.
        """
        found = dict[str, Any]()
        for parameter, (name, each) in enumerate(self.space.items()):
            axes = point[self.owners == parameter]
            if not np.isnan(axes[0]):
                found[name] = _value(each, axes)
        return found


def merge_distributions(
    met: Sequence[Mapping[str, BaseDistribution]],
) -> dict[str, BaseDistribution]:
    """Returns one distribution for each parameter that configurations met, sorted by name. Where
    its range depends on a choice, the distribution goes from the lowest end to the highest one, so
    that equal values are equal coordinates beside any choice.
    """
    found: dict[str, BaseDistribution] = {}
    ranges = {(name, id(each)): each for one in met for name, each in one.items()}
    for (name, _), each in ranges.items():  # most of them are the same objects
        before = found.setdefault(name, each)
        if before != each and isinstance(before, FloatDistribution | IntDistribution):
            found[name] = _span(before, each)
    return dict(sorted(found.items()))


def _span(one: FloatDistribution | IntDistribution, other: Any) -> BaseDistribution:
    low, high = min(one.low, other.low), max(one.high, other.high)
    if isinstance(one, IntDistribution):
        return IntDistribution(int(low), int(high), log=one.log)
    return FloatDistribution(low, high, log=one.log)


class PointCache:
    """Remembers the points of configurations, because to encode thousands of them would take longer
    than to choose the next one.
    """

    def __init__(self) -> None:
        self._space: list[tuple[str, BaseDistribution]] = []
        self._rows: dict[int, int] = {}
        self._encoded: list[Mapping[str, Any]] = []  # a living object's identity stays its own
        self._points: Matrix = np.empty((0, 0))

    def points(self, encoding: Encoding, params: Sequence[Mapping[str, Any]]) -> Matrix:
        """Returns configurations as points of the unit cube, of shape (n, width); a parameter that
        a configuration lacks lies in the middle. The mappings must not change afterwards.
        """
        if self._space != list(encoding.space.items()):
            self._space, self._rows, self._encoded = list(encoding.space.items()), {}, []
            self._points = np.empty((0, encoding.width))
        rows = self._rows_of(params)
        if new := [params[n] for n in np.flatnonzero(rows < 0).tolist()]:
            self._points = np.concatenate([self._points, encode_points(encoding, new)])
            self._rows.update({id(each): len(self._encoded) + n for n, each in enumerate(new)})
            self._encoded += new
            rows = self._rows_of(params)
        return self._points[rows]

    def _rows_of(self, params: Sequence[Mapping[str, Any]]) -> NDArray[np.intp]:
        """Returns the rows of configurations among the points, -1 for those that aren't there."""
        rows = map(self._rows.get, map(id, params), repeat(-1))
        return np.fromiter(rows, np.intp, len(params))


def encode_points(encoding: Encoding, params: Sequence[Mapping[str, Any]]) -> Matrix:
    """Returns configurations as points of the unit cube, of shape (n, width); a parameter that a
    configuration lacks lies in the middle.
    """
    return np.nan_to_num(encoding.encode_all(params), nan=0.5)


def squared_distances(left: Matrix, right: Matrix) -> Matrix:
    """Returns the squared Euclidean distances between the rows of two matrices, of shape (n, m)."""
    sums = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
    return np.asarray(np.maximum(sums - 2.0 * left @ right.T, 0.0))


def nearest_squared(points: Matrix, others: Matrix) -> Vector:
    """Returns the squared Euclidean distance from each row of `points` to the nearest row of
    `others`, of shape (n,).
    """
    nearest = np.full(len(points), np.inf)
    lengths, doubled = np.einsum("ij,ij->i", others, others), 2.0 * points
    for at in range(0, len(others), _AT_ONCE):
        part = slice(at, at + _AT_ONCE)
        products = doubled @ others[part].T
        np.subtract(lengths[part], products, out=products)
        np.minimum(nearest, products.min(1), out=nearest)
    return np.asarray(np.maximum(nearest + np.einsum("ij,ij->i", points, points), 0.0))


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


def _value(distribution: BaseDistribution, axes: Vector) -> Any:
    """Returns the value of one parameter at a point's axes. Raises `TypeError` for an unknown kind
    of distribution.
    """
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(np.argmax(axes))]
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"{distribution} is neither a number's range nor a choice.")
    least, most, step = distribution.low, distribution.high, distribution.step
    low, high = (math.log(end) if distribution.log else end for end in (least, most))
    value = low + float(axes[0]) * (high - low)
    value = math.exp(value) if distribution.log else value
    value = least + step * round((value - least) / step) if step else value
    return min(max(value, least), most)
