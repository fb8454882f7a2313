"""The ends of a space's ranges, beyond which no trial goes: for what must be known of all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from trainables.catalog import is_external
from trainables.config import ConfigError, TrialConfig

Ends = Mapping[str, Callable[[Sequence[Any]], Any]]
"""By name of a field, which of its values is wanted: of all choices, or of (low, high)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """The baseline at the ends of the ranges around it.

    largest: with the largest input, batch and head, the fewest stages frozen, and an average of
    the weights where any trial has one.
    starting: what every trial must start like, with as many stages frozen as any may have. A
    library's network is there at the smallest and at the largest input: not every one takes both.
    """

    largest: TrialConfig
    starting: tuple[TrialConfig, ...]


def _most_at_once(sizes: Sequence[int | None]) -> int | None:
    """Of micro-batches: `None` is the whole batch."""
    given = [size for size in sizes if size is not None]
    return max(given) if len(given) == len(sizes) else None


_LARGEST: Ends = {
    "image_size": max,
    "batch_size": max,
    "micro_batch_size": _most_at_once,
    "head_width": max,
    "freeze_depth": min,
    "ema": max,
}


def find_bounds(baseline: TrialConfig, ranges: Mapping[str, BaseDistribution]) -> Bounds:
    """Raises `ConfigError` where a rule forbids an end of a range."""
    wanted: list[Ends] = [_LARGEST, {"freeze_depth": max}]
    if is_external(baseline.network):
        wanted[1:] = [{"freeze_depth": max, "image_size": size} for size in (min, max)]
    errors: list[str] = []
    found = []
    for ends in wanted:
        try:
            found.append(baseline.but(**_values(ranges, ends)))
        except ConfigError as error:
            errors += error.errors
    if errors:
        raise ConfigError([_with_remedy(sentence) for sentence in dict.fromkeys(errors)])
    return Bounds(largest=found[0], starting=tuple(dict.fromkeys(found[1:])))


def _values(ranges: Mapping[str, BaseDistribution], ends: Ends) -> dict[str, Any]:
    """By name of a field, the end of its range, where it is searched."""
    values = {}
    for name, end in ends.items():
        found = ranges.get(name)
        if isinstance(found, CategoricalDistribution):
            values[name] = end(found.choices)
        elif isinstance(found, IntDistribution | FloatDistribution):
            values[name] = end((found.low, found.high))
    return values


def _with_remedy(sentence: str) -> str:
    return (
        f"At the ends of the space's ranges {sentence.removesuffix('.')}: narrow that range, or "
        "fix the field with --set."
    )
