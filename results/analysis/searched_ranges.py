"""Describes what a search varied: each parameter's ranges, and when each of them holds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    distribution_to_json,
    json_to_distribution,
)

ABSENT = "(absent)"
"""In a condition, a parameter that a trial doesn't have is written as this value."""

Condition = Sequence[Mapping[str, Any]]
"""A condition lists combinations of other parameters' values; a range holds beside any of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchedRange:
    """Describes one range of a parameter, which has several where they depend on a choice.

    `condition` is empty for a range that holds in every trial, and `None` for one that holds in
    some trials for a reason which isn't known. `later` is true for a range that wasn't known when
    the search began, and that a trial met.
    """

    name: str
    distribution: BaseDistribution
    condition: Condition | None = ()
    later: bool = False

    def to_json(self) -> dict[str, Any]:
        """Returns the range as plain values for a run's manifest."""
        return {
            "name": self.name,
            "distribution": json.loads(distribution_to_json(self.distribution)),
            "condition": None
            if self.condition is None
            else [dict(each) for each in self.condition],
            "later": self.later,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Builds a range from an entry of a run's manifest."""
        distribution = json_to_distribution(json.dumps(value["distribution"]))
        return cls(**{**value, "distribution": distribution})

    def describe(self) -> str:
        """Returns the range and its condition in words."""
        condition = describe_condition(self.condition)
        return describe_range(self.distribution) + (f" {condition}" if condition else "")


@dataclass(frozen=True, slots=True)
class Prior:
    """Holds what a space's author believes of a parameter: that the best `value` lies near this
    one, with the probability `confidence`, 0…1.
    """

    value: Any
    confidence: float

    def __str__(self) -> str:
        return f"{self.value} with confidence {self.confidence:g}"


def rounded(value: Any) -> Any:
    """Returns a parameter's value with 12 digits if it is a float, because Optuna's steps give
    values such as 0.30000000000000004, and otherwise as it is.
    """
    return float(f"{value:.12g}") if isinstance(value, float) else value


def describe_range(distribution: BaseDistribution) -> str:
    """Returns a parameter's distribution in a few words."""
    if isinstance(distribution, CategoricalDistribution):
        return "one of " + ", ".join(map(str, distribution.choices))
    low, high = getattr(distribution, "low", ""), getattr(distribution, "high", "")
    step = getattr(distribution, "step", None)
    log = ", log" if getattr(distribution, "log", False) else ""
    return f"{low:g} … {high:g}{f', step {step:g}' if step else ''}{log}"


def describe_condition(condition: Condition | None) -> str:
    """Returns when a range holds, in words; the text is empty where it always holds."""
    if condition is None:
        return "in some trials"
    names = list(dict.fromkeys(name for each in condition for name in each))
    if not names:
        return ""
    if len(names) == 1:
        return f"where {names[0]} is {_either(each[names[0]] for each in condition)}"
    cases = (" and ".join(f"{name} {item}" for name, item in each.items()) for each in condition)
    return "where " + ", or ".join(cases)


def _either(values: Iterable[Any]) -> str:
    return " or ".join(map(str, values))


def read_ranges(manifest: Mapping[str, Any]) -> tuple[SearchedRange, ...]:
    """Returns the ranges in a run's manifest; there are none in the manifests of older versions."""
    entries = manifest.get("searched", {}).get("ranges", ())
    return tuple(map(SearchedRange.from_json, entries))


def read_priors(manifest: Mapping[str, Any]) -> dict[str, Prior]:
    """Returns the priors in a run's manifest by parameter; there are none in the manifests of older
    versions.
    """
    entries = manifest.get("searched", {}).get("priors", {})
    return {name: Prior(**each) for name, each in entries.items()}
