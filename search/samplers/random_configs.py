"""Draws random configurations of a space, many at a time."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from results.analysis.searched_ranges import Prior

NEAR = 0.1
"""Numbers near a prior's value have this standard deviation around it, as a share of the range, or
of the range's logarithm.
"""


class RandomConfiguration:
    """Chooses a random value for each parameter that a space asks for, as an Optuna trial does, and
    remembers the values.

    This class is a hundred times faster than an Optuna trial, which writes each value to a storage.
    Where a `baseline` is given, each parameter keeps the baseline's value with the probability
    `keep_probability`. Where `priors` are given, each of their parameters lies around its prior's
    value with the probability of the prior's confidence, with the standard deviation `near`.
    """

    def __init__(
        self,
        rng: Random,
        baseline: Mapping[str, Any] | None = None,
        keep_probability: float = 0.0,
        priors: Mapping[str, Prior] | None = None,
        near: float = NEAR,
    ) -> None:
        self._rng, self._baseline, self._priors = rng, baseline or {}, priors or {}
        self._keep_probability, self._near = keep_probability, near
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_categorical(
        self, name: str, choices: Sequence[CategoricalChoiceType]
    ) -> CategoricalChoiceType:
        """Returns one of the choices, each with the same probability."""
        chosen: CategoricalChoiceType = self.answer(name, _categorical(*choices))
        return chosen

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Returns a whole number in low…high, both ends included."""
        return int(self.answer(name, _int(low, high, log, step)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Returns a number in low…high, uniform over the range or over its logarithm."""
        return float(self.answer(name, _float(low, high, log, step)))

    def answer(self, name: str, distribution: BaseDistribution) -> Any:
        """Returns a value of the distribution, and the same one when asked for `name` again."""
        if name not in self.params:
            self.params[name] = self._draw(name, distribution)
            self.distributions[name] = distribution
        return self.params[name]

    def _draw(self, name: str, distribution: BaseDistribution) -> Any:
        prior = self._priors.get(name)
        if prior and self._rng.random() < prior.confidence:
            return draw_near(prior.value, distribution, self._near, self._rng)
        keep = self._rng.random() < self._keep_probability and name in self._baseline
        if keep and _holds(distribution, self._baseline[name]):
            return self._baseline[name]
        return draw_value(distribution, self._rng)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    """Returns whether a value lies in a range, which may be another one than the baseline's where
    ranges depend on a choice.
    """
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    low, high, step = (getattr(distribution, name) for name in ("low", "high", "step"))
    inside = isinstance(value, int | float) and low <= value <= high
    return inside and (not step or abs((value - low) / step - round((value - low) / step)) < 1e-6)


@lru_cache(maxsize=1024, typed=True)  # False isn't 0
def _categorical(*choices: CategoricalChoiceType) -> CategoricalDistribution:
    return CategoricalDistribution(choices)


@lru_cache(maxsize=1024)
def _int(low: int, high: int, log: bool, step: int) -> IntDistribution:
    return IntDistribution(low, high, log=log, step=step)


@lru_cache(maxsize=1024)
def _float(low: float, high: float, log: bool, step: float | None) -> FloatDistribution:
    return FloatDistribution(low, high, log=log, step=step)


def draw_value(distribution: BaseDistribution, rng: Random) -> Any:
    """Returns a random value, uniform over the range or over its logarithm. Raises `TypeError` for
    an unknown kind of distribution.
    """
    # By a table, because a decision draws thousands of values, and `isinstance` is slower.
    if (draw := _DRAWS.get(type(distribution))) is None:
        raise TypeError(f"{distribution} is neither a number's range nor a choice.")
    return draw(distribution, rng)


def _choice(distribution: CategoricalDistribution, rng: Random) -> CategoricalChoiceType:
    return distribution.choices[rng.randrange(len(distribution.choices))]


def _real(distribution: FloatDistribution, rng: Random) -> float:
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is not None:
        return float(low + step * rng.randrange(round((high - low) / step) + 1))
    if distribution.log:
        return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)
    return rng.uniform(low, high)


def _whole(distribution: IntDistribution, rng: Random) -> int:
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        # Each whole number n has the probability of the interval from n - 0.5 to n + 0.5 on the
        # logarithmic scale.
        exact = math.exp(rng.uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return min(max(round(exact), low), high)
    return low + step * rng.randrange((high - low) // step + 1)


def draw_near(value: Any, distribution: BaseDistribution, near: float, rng: Random) -> Any:
    """Returns a random value around `value`. A choice is `value` itself. A number is normally
    distributed within its range, with the standard deviation `near`, as a share of the range or of
    its logarithm; it has its mean at the range's nearest end where the range doesn't hold `value`.

    Raises `TypeError` for an unknown kind of distribution.
    """
    if isinstance(distribution, CategoricalDistribution):
        return value
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"{distribution} is neither a number's range nor a choice.")
    low, high, step = distribution.low, distribution.high, distribution.step
    scale, back = (math.log, math.exp) if distribution.log else (float, float)
    middle, spread = min(max(value, low), high), near * (scale(high) - scale(low))
    while True:
        found = back(rng.gauss(scale(middle), spread)) if spread else middle
        if step is not None:
            steps = round((found - low) / step)
            # The last step may lie above the range's end by a rounding error.
            inside = 0 <= steps <= round((high - low) / step)
            found = min(low + step * steps, high) if inside else math.inf
        if low <= found <= high:
            return found


_DRAWS: dict[type, Callable[[Any, Random], Any]] = {
    CategoricalDistribution: _choice,
    IntDistribution: _whole,
    FloatDistribution: _real,
}
