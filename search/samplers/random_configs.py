"""Random configurations of a space, many at a time."""

import math
from collections.abc import Mapping, Sequence
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


class RandomConfiguration:
    """Answers a space's questions at random, as an Optuna trial does, and notes its answers.

    An Optuna trial would do, a hundred times slower: it keeps each answer in a storage. Where a
    `baseline` is given, a parameter keeps its value there with the probability `kept`.
    """

    def __init__(
        self, rng: Random, baseline: Mapping[str, Any] | None = None, kept: float = 0.0
    ) -> None:
        self._rng, self._baseline, self._kept = rng, baseline or {}, kept
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_categorical(
        self, name: str, choices: Sequence[CategoricalChoiceType]
    ) -> CategoricalChoiceType:
        """One of the choices."""
        # No cache: to it, False and 0 would be the same choice.
        chosen: CategoricalChoiceType = self.answer(name, CategoricalDistribution(choices))
        return chosen

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number, both ends included."""
        return int(self.answer(name, _int(low, high, log, step)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number, uniform over the range or over its logarithm."""
        return float(self.answer(name, _float(low, high, log, step)))

    def answer(self, name: str, distribution: BaseDistribution) -> Any:
        """A value of the distribution; the same one when asked again."""
        if name not in self.params:
            keeps = self._rng.random() < self._kept and name in self._baseline
            self.params[name] = (
                self._baseline[name] if keeps else draw_value(distribution, self._rng)
            )
            self.distributions[name] = distribution
        return self.params[name]


@lru_cache(maxsize=1024)
def _int(low: int, high: int, log: bool, step: int) -> IntDistribution:
    return IntDistribution(low, high, log=log, step=step)


@lru_cache(maxsize=1024)
def _float(low: float, high: float, log: bool, step: float | None) -> FloatDistribution:
    return FloatDistribution(low, high, log=log, step=step)


def draw_value(distribution: BaseDistribution, rng: Random) -> Any:
    """A value, uniform over the range or over its logarithm. Raises `TypeError`."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[rng.randrange(len(distribution.choices))]
    if isinstance(distribution, IntDistribution):
        return _whole(distribution, rng)
    if isinstance(distribution, FloatDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        if step is not None:
            return low + step * rng.randrange(round((high - low) / step) + 1)
        if distribution.log:
            return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)
        return rng.uniform(low, high)
    raise TypeError(f"{distribution} is neither a number's range nor a choice.")


def _whole(distribution: IntDistribution, rng: Random) -> int:
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        # Each whole number has the logarithm's share from half below it to half above it.
        exact = math.exp(rng.uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return min(max(round(exact), low), high)
    return low + step * rng.randrange((high - low) // step + 1)
