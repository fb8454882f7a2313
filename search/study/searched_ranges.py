"""Finds every parameter's ranges by drawing many configurations of a space, and the choices that
each range goes with.
"""

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import combinations
from random import Random
from typing import Any, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)

from common.files import checksum
from common.text import did_you_mean
from results.analysis.searched_ranges import (
    ABSENT,
    Condition,
    Prior,
    SearchedRange,
    describe_range,
)
from search.samplers.random_configs import RandomConfiguration
from search.study.optuna_patches import contains

PROBES = 400
"""A space's ranges are looked for in this many random configurations. A branch that one of 100
configurations takes is missed with a probability of 0.99⁴⁰⁰, once in 56 cases.
"""

_FEW_VALUES, _FEW_PAIRS = 12, 40
"""A range's condition is looked for among parameters with at most `_FEW_VALUES` different values,
and among pairs of parameters with at most `_FEW_PAIRS` combinations, because many values would
explain anything.
"""


class Drawn(Protocol):
    """Holds parameters and their distributions by name, in the order in which a space asked for
    them. Probes and Optuna's trials fulfil this protocol.
    """

    @property
    def params(self) -> Mapping[str, Any]: ...

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]: ...


class Probe(RandomConfiguration):
    """Draws the random configuration `number`, in which each parameter's value depends on the
    parameter's own name and range alone.

    Therefore two spaces that ask for the same ranges in different orders give equal probes.
    """

    def __init__(self, number: int, recorded: Mapping[str, Any] | None = None) -> None:
        """Draws only those parameters that aren't among `recorded`, which keep their values."""
        super().__init__(Random(number))
        self._number, self._recorded = number, recorded or {}
        self.faults: list[str] = []

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Returns a whole number in low…high, and adds a sentence to `faults` where the step
        doesn't divide this range.
        """
        self._check_step(name, low, high, step)
        return super().suggest_int(name, low, high, step=step, log=log)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Returns a number in low…high, and adds a sentence to `faults` where the step doesn't
        divide this range.
        """
        self._check_step(name, low, high, step)
        return super().suggest_float(name, low, high, step=step, log=log)

    def answer(self, name: str, distribution: BaseDistribution) -> Any:
        """Returns the recorded value of a parameter, or a random one of the distribution. Adds a
        sentence to `faults` where the parameter was asked for before, with another range.
        """
        if name in self.distributions and self.distributions[name] != distribution:
            self.faults.append(
                f"A trial must be asked for {name} once, but is asked for it with "
                f"{describe_range(self.distributions[name])} and with "
                f"{describe_range(distribution)}; keep one of them."
            )
        if name in self._recorded:
            self.params[name], self.distributions[name] = self._recorded[name], distribution
        if name not in self.params:
            self._rng = Random(f"{self._number} {name}")
        return super().answer(name, distribution)

    def compare(self, returned: Mapping[str, Any]) -> None:
        """Adds a sentence to `faults` for each parameter that the space asked for and didn't return
        with the value that it got.
        """
        for name, value in self.params.items():
            if name not in returned:
                self.faults.append(
                    f"A space's `suggest` must return each parameter that it asks for, but leaves "
                    f"out {name}; add it to what is returned, or don't ask for it."
                )
            elif returned[name] != value:
                self.faults.append(
                    f"A space's `suggest` must return the values that it gets, but returns another "
                    f"one for {name}; ask for the values themselves, as by trial."
                    f'suggest_categorical("{name}", […]).'
                )

    def _check_step(self, name: str, low: float, high: float, step: float | None) -> None:
        steps = (high - low) / step if step else 0.0
        if step and not math.isclose(steps, round(steps), rel_tol=0.0, abs_tol=1e-6):
            end = low + math.floor(steps) * step
            self.faults.append(
                f"The step of {name} must divide its range, but {step:.12g} doesn't divide "
                f"{low:.12g} … {high:.12g}; end the range at {end:.12g}, or change the step."
            )


def digest_of(drawn: Sequence[Drawn]) -> str:
    """Returns a checksum of the distributions that configurations met, each configuration by
    itself.
    """
    return checksum(_texts([each.distributions for each in drawn]))


def _texts(met: Sequence[Mapping[str, BaseDistribution]]) -> list[dict[str, str]]:
    """Returns the distributions that each configuration met as texts."""
    # Thousands of configurations share a few objects, and equal ones may differ: False equals 0.
    shared = {id(each): each for distributions in met for each in distributions.values()}
    texts = {key: distribution_to_json(each) for key, each in shared.items()}
    return [{name: texts[id(each)] for name, each in one.items()} for one in met]


def find_ranges(drawn: Sequence[Drawn]) -> tuple[SearchedRange, ...]:
    """Returns every range that configurations met, in the order in which a space asks for them, and
    the parameters' values that decide between the ranges of one parameter.
    """
    met = [each.distributions for each in drawn]
    return tuple(_ranges(met, [each.params for each in drawn]))


def _ranges(
    met: Sequence[Mapping[str, BaseDistribution]], params: Sequence[Mapping[str, Any]]
) -> Iterator[SearchedRange]:
    texts, candidates = _texts(met), _asked_before(params)
    for name in dict.fromkeys(name for each in met for name in each):
        outcomes = [each.get(name) for each in texts]
        conditions = _explain(candidates[name], params, outcomes)
        seen = dict(zip(outcomes, met, strict=True))
        for text in sorted(text for text in seen if text is not None):
            yield SearchedRange(
                name=name,
                distribution=seen[text][name],
                condition=None if conditions is None else conditions[text],
            )


def _asked_before(params: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Returns, for each parameter, those with few values that never come after it."""
    values: dict[str, set[str]] = {}
    for each in params:
        for name, value in each.items():
            values.setdefault(name, set()).add(str(value))
    later: dict[str, set[str]] = {name: set() for name in values}
    for order in dict.fromkeys(map(tuple, params)):
        for place, name in enumerate(order):
            later[name].update(order[place:])
    few = [name for name, found in values.items() if len(found) <= _FEW_VALUES]
    return {name: [each for each in few if each not in after] for name, after in later.items()}


def _explain(
    candidates: Sequence[str], params: Sequence[Mapping[str, Any]], outcomes: Sequence[str | None]
) -> dict[str | None, Condition] | None:
    """Returns, for each outcome, the values of the fewest candidates that lead to it and to no
    other one, or `None` where neither one candidate nor two of them decide.
    """
    if len(set(outcomes)) == 1:
        return {outcomes[0]: ()}
    groups = [(each,) for each in candidates] + list(combinations(candidates, 2))
    for names in groups:
        cases = ({each: one.get(each, ABSENT) for each in names} for one in params)
        found: dict[str, tuple[dict[str, Any], str | None]] = {}
        for case, outcome in zip(cases, outcomes, strict=True):
            if found.setdefault(str(case), (case, outcome))[1] != outcome:
                break
        else:
            if len(names) == 1 or len(found) <= _FEW_PAIRS:
                ordered = [found[key] for key in sorted(found)]
                return {o: tuple(c for c, other in ordered if other == o) for o in set(outcomes)}
    return None


def merge_ranges(ranges: Sequence[SearchedRange]) -> dict[str, BaseDistribution]:
    """Returns one distribution for each parameter, which holds all of the parameter's ranges. Where
    these differ, the distribution has no step and no logarithm.
    """
    return {name: _merge(distributions) for name, distributions in _by_name(ranges).items()}


def _by_name(ranges: Sequence[SearchedRange]) -> dict[str, list[BaseDistribution]]:
    by_name: dict[str, list[BaseDistribution]] = {}
    for each in ranges:
        by_name.setdefault(each.name, []).append(each.distribution)
    return by_name


def _merge(distributions: Sequence[BaseDistribution]) -> BaseDistribution:
    first = distributions[0]
    alike: list[Any] = [each for each in distributions if type(each) is type(first)]
    if len(alike) == 1 or isinstance(first, CategoricalDistribution):
        return first
    low, high = min(each.low for each in alike), max(each.high for each in alike)
    whole = isinstance(first, IntDistribution)
    return IntDistribution(low, high) if whole else FloatDistribution(low, high)


def find_incompatible(ranges: Sequence[SearchedRange]) -> list[str]:
    """Returns one sentence for each parameter with ranges that Optuna refuses within one study:
    whole numbers and others, logarithmic and linear ones, or different choices.
    """
    errors = []
    for name, distributions in _by_name(ranges).items():
        for each in distributions[1:]:
            try:
                check_distribution_compatibility(distributions[0], each)
            except ValueError:
                errors.append(
                    f"{name} must have ranges of one kind, with one scale and the same choices, "
                    f"but is {describe_range(distributions[0])} in some trials and "
                    f"{describe_range(each)} in others; give it one range, and use its values "
                    "differently."
                )
                break
    return errors


def find_wrong_priors(
    priors: Mapping[str, Any], ranges: Sequence[SearchedRange], fixed: Container[str]
) -> list[str]:
    """Returns one sentence for each prior of a parameter that the space doesn't search, unless the
    parameter is `fixed`, and for each value or confidence that violates its rule.
    """
    errors, by_name = [], _by_name(ranges)
    for name, prior in priors.items():
        known = by_name.get(name, [])
        if not isinstance(prior, Prior):
            errors.append(
                f"The prior of {name} must be Prior(value, confidence), but is {prior!r}; write it "
                "as one."
            )
            continue
        if not known and name not in fixed:
            hint = did_you_mean(name, by_name, f"searched are {', '.join(by_name)};")
            errors.append(
                f"A prior must belong to a parameter of the space, but {name} is none; {hint} "
                "correct the name, or leave this prior out."
            )
        if known and not any(contains(each, prior.value) for each in known):
            words = ", or ".join(describe_range(each) for each in known)
            errors.append(
                f"The prior of {name} must have a value of its range, {words}, but has "
                f"{prior.value}; choose one, or widen the range."
            )
        if not 0 <= prior.confidence <= 1:
            errors.append(
                f"The prior of {name} must have a confidence between 0 and 1, but has "
                f"{prior.confidence}; write 0.5 where you are half sure."
            )
    return errors


def describe_outside(name: str, distribution: BaseDistribution, value: Any) -> str:
    """Returns the sentence for a baseline's value that its parameter's range doesn't hold."""
    return (
        f"The range of {name} must hold the baseline's {value}, but is "
        f"{describe_range(distribution)}; widen it, or fix the field with --set {name}=VALUE."
    )
