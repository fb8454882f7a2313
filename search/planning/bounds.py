"""Finds the ends of a space's ranges, beyond which no trial goes. They answer questions about all
trials, such as the most memory that one may need.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.hardware.memory import worker_bytes
from search.samplers.encoding import merge_distributions
from search.study.proposer import Proposer
from trainables.catalog import is_external
from trainables.conditional_fields import CONDITIONAL
from trainables.config import ConfigError, TrialConfig

Ends = Mapping[str, Callable[[Sequence[Any]], Any]]
"""This type maps names of fields to functions, each of which picks one end of the field's range: a
value among all choices, or among (low, high).
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Holds the baseline with some fields moved to the ends of their ranges.

    largest: the configuration that needs the most memory: the largest input, batch and head, the
        fewest frozen stages, the optimizer with the most state, and an average of the weights where
        any trial has one.
    starting: the configurations that must be buildable before a search starts, with as many stages
        frozen as any trial may have. For a network from a library these are one with the smallest
        and one with the largest input, because not every network accepts both.
    networks: where trials have several networks, the largest configuration of each, the one of most
        memory first; `largest` is the first one then.
    usual: where trials have several networks, the baseline of each, or the configuration of that
        network which is nearest to the baseline.
    """

    largest: TrialConfig
    starting: tuple[TrialConfig, ...]
    networks: tuple[TrialConfig, ...] = ()
    usual: tuple[TrialConfig, ...] = ()

    @property
    def image_size(self) -> int:
        """Returns the side of the largest input of any trial, in pixels."""
        return max(each.image_size for each in (self.largest, *self.networks))

    @property
    def batch_size(self) -> int:
        """Returns the number of images in the largest batch of any trial."""
        return max(each.batch_size for each in (self.largest, *self.networks))


def _most_at_once(sizes: Sequence[int | None]) -> int | None:
    """Returns the largest of several micro-batch sizes, or `None`, which stands for the whole
    batch, if that is among them.
    """
    numbers = [size for size in sizes if size is not None]
    return max(numbers) if len(numbers) == len(sizes) else None


def _most_state(optimizers: Sequence[str]) -> str:
    """Returns the optimizer that holds the most numbers for each weight. SGD holds one at most, and
    the others two.
    """
    return min(optimizers, key=lambda name: name == "sgd")


_LARGEST: Ends = {
    "image_size": max,
    "batch_size": max,
    "micro_batch_size": _most_at_once,
    "head_width": max,
    "freeze_depth": min,
    "ema": max,
    "optimizer": _most_state,
}
"""A configuration with these ends of its fields' ranges needs the most memory of all trials."""


def find_bounds(baseline: TrialConfig, ranges: Mapping[str, BaseDistribution]) -> Bounds:
    """Returns the bounds of a space around its baseline. Raises `ConfigError` where a rule of
    `TrialConfig` forbids an end of a range.
    """
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


def find_bounds_of_networks(
    proposer: Proposer, baseline: TrialConfig, ranges: Mapping[str, BaseDistribution]
) -> Bounds:
    """Returns the bounds of all trials of a space, in which each network has the ranges that go
    with it. Raises `ConfigError` where a rule of `TrialConfig` forbids an end of a range beside a
    network, and `SpaceError` where the space's own code fails.
    """
    searched = ranges.get("network")
    if searched is None:
        return find_bounds(baseline, ranges)
    found, usual, errors = list[Bounds](), list[TrialConfig](), list[str]()
    for network in getattr(searched, "choices", ()):
        one = proposer.of_network(str(network))
        try:
            usual.append(one.nearest(one.baseline_params())[1])
            here = merge_distributions([each.distributions for each in one.probe()])
            found.append(find_bounds(usual[-1], here))
        except ConfigError as error:
            errors += [_for_network(str(network), sentence) for sentence in error.errors]
    if errors:
        raise ConfigError(list(dict.fromkeys(errors)))
    largest = sorted((each.largest for each in found), key=worker_bytes, reverse=True)
    starting = dict.fromkeys(config for each in found for config in each.starting)
    return Bounds(
        largest=largest[0],
        starting=tuple(starting),
        networks=tuple(largest),
        usual=tuple(usual),
    )


def _for_network(network: str, sentence: str) -> str:
    if "ranges" in sentence:
        return f"With network={network}: {sentence}"
    return (
        f"With network={network}, {sentence.removesuffix('.')}: have `suggest` return a value that "
        "fits this network, or leave the network out."
    )


def _values(ranges: Mapping[str, BaseDistribution], ends: Ends) -> dict[str, Any]:
    """Returns the chosen end of the range for each field in `ends` that the space searches."""
    values = {}
    for name, end in ends.items():
        found = ranges.get(name)
        if isinstance(found, CategoricalDistribution):
            values[name] = end(found.choices)
        elif isinstance(found, IntDistribution | FloatDistribution):
            values[name] = end((found.low, found.high))
    for name, (owner, choice) in CONDITIONAL.items():
        if values.get(owner, choice) != choice:
            values[name] = None
    return values


def _with_remedy(sentence: str) -> str:
    return (
        f"At the ends of the space's ranges {sentence.removesuffix('.')}: narrow that range, or "
        "fix the field with --set."
    )
