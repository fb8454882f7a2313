"""Examines a space without images: draws from it, and collects whatever is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from common.errors import UserError
from datasets.registry import find_dataset
from results.analysis.searched_ranges import Prior, SearchedRange
from search.config.options import SearchOptions
from search.hardware.memory import worker_bytes
from search.planning.bounds import Bounds, find_bounds_of_networks
from search.planning.fixed_fields import fix_fields
from search.space import Space, SpaceError, ask_space
from search.spaces import find_space
from search.study.optuna_patches import quiet_ranges
from search.study.proposer import Proposer
from search.study.searched_ranges import (
    Probe,
    find_incompatible,
    find_ranges,
    find_wrong_priors,
    merge_ranges,
)
from trainables.catalog import forward_gmacs, parameters
from trainables.conditional_fields import CONDITIONAL
from trainables.config import ConfigError, TrialConfig

DRAWN = 2000
"""A check draws so many random configurations. A branch that one of 500 takes is missed once in 55
cases.
"""

COUNTED = 10_000
"""Configurations are counted up to this number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkCost:
    """Holds what a network costs before its images are known: `parameters_m` in 10⁶ for 1,000
    classes and `gmacs` in 10⁹ multiply-adds for an image of `image_size` pixels a side, each `None`
    where only torch knows it, and the most memory that a worker on cores takes, in bytes.
    """

    network: str
    parameters_m: float | None
    image_size: int
    gmacs: float | None
    memory_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SpaceReport:
    """Says what a space searches, and what is wrong with it.

    errors: one sentence for each fault, with its remedy; a search refuses such a space, or would
        meet the fault in a trial.
    notes: one sentence for each thing that is allowed and worth knowing.
    ranges: every range that was met.
    size: how many configurations there are, `None` for more than `COUNTED` or infinitely many.
    continuous: the parameters of which there are infinitely many values.
    networks: the costs of each network that may be drawn, at its largest configuration.
    """

    name: str
    space: Space | None = None
    errors: Sequence[str] = ()
    notes: Sequence[str] = ()
    ranges: Sequence[SearchedRange] = ()
    size: int | None = None
    continuous: Sequence[str] = ()
    networks: Sequence[NetworkCost] = ()
    priors: Mapping[str, Prior] = field(default_factory=dict)


def check_space(name: str) -> SpaceReport:
    """Returns what the space of this name, or in the file at this path, searches, and all that is
    wrong with it. Raises nothing for a faulty space.
    """
    try:
        space = find_space(name)
        proposer = Proposer(space, fix_fields(SearchOptions(), space), 0)
    except UserError as error:
        return SpaceReport(name=name, errors=error.errors)
    errors = dict.fromkeys(_errors_of_dataset(space))
    drawn, configs = _draw(proposer, errors)
    bounds = None
    if drawn:
        bounds = _find_errors(proposer, drawn, configs, errors)
    ranges = find_ranges(drawn) if drawn else ()
    continuous = _continuous(ranges)
    return SpaceReport(
        name=name,
        space=space,
        errors=list(errors),
        notes=list(_notes(ranges, proposer, configs)),
        ranges=ranges,
        size=None if continuous or errors else count_configurations(proposer),
        continuous=continuous,
        networks=_costs(bounds) if bounds else (),
        priors=space.prior,
    )


def _errors_of_dataset(space: Space) -> Sequence[str]:
    try:
        find_dataset(space.dataset)
    except UserError as error:
        return error.errors
    return ()


def _draw(proposer: Proposer, errors: dict[str, None]) -> tuple[list[Probe], list[TrialConfig]]:
    """Returns random configurations as what was asked for, and as those that keep all rules. Adds a
    sentence to `errors` for each fault that drawing them has met.
    """
    drawn, configs = list[Probe](), list[TrialConfig]()
    for number in range(DRAWN):
        probe = Probe(number)
        try:
            with quiet_ranges():
                values = ask_space(proposer.space, probe, proposer.fixed)
            probe.compare(values)
            drawn.append(probe)
            configs.append(proposer.complete(values))
        except SpaceError as error:
            errors.update(dict.fromkeys(error.errors))
            if not drawn and number >= 20:
                break
        except ConfigError as error:
            for sentence in error.errors:
                _add_once(errors, _beside(sentence, probe))
        errors.update(dict.fromkeys(probe.faults))
    return drawn, configs


def _beside(sentence: str, probe: Probe) -> str:
    """Returns a broken rule with the parameters of the configuration that breaks it."""
    values = ", ".join(f"{name}={value}" for name, value in probe.params.items())
    return (
        f"{sentence.removesuffix('.')}: it is so with {values}; have `suggest` ask for and return "
        "only values that go together."
    )


def _add_once(errors: dict[str, None], sentence: str) -> None:
    """Adds a sentence unless there is one of the same rule, beside another configuration."""
    rule = sentence.partition(", but got ")[0]
    if not any(each.startswith(f"{rule}, but got ") for each in errors):
        errors[sentence] = None


def _find_errors(
    proposer: Proposer,
    drawn: Sequence[Probe],
    configs: Sequence[TrialConfig],
    errors: dict[str, None],
) -> Bounds | None:
    """Adds what is wrong with the ranges, the baseline, the priors and the ends of the ranges to
    `errors`, and returns the bounds of all trials, if there are any.
    """
    ranges = find_ranges(drawn)
    errors.update(dict.fromkeys(find_incompatible(ranges)))
    errors.update(dict.fromkeys(find_wrong_priors(proposer.space.prior, ranges, proposer.fixed)))
    try:
        outside = proposer.baseline_errors()
        errors.update(dict.fromkeys(outside))
        if outside or not configs:
            return None
        first = proposer.nearest(proposer.space.baseline.to_dict())[1]
        errors.update(dict.fromkeys(_differences(proposer.space.baseline, first, proposer.fixed)))
        return find_bounds_of_networks(proposer, first, merge_ranges(ranges))
    except UserError as error:
        for sentence in error.errors:
            _add_once(errors, sentence)
    return None


def _differences(
    baseline: TrialConfig, first: TrialConfig, fixed: Mapping[str, Any]
) -> Iterator[str]:
    """Yields a sentence for each field in which the first trial isn't the baseline, because the
    space returns another value for it beside the baseline's parameters.
    """
    for name, value in first.with_defaults().to_dict().items():
        own = baseline.with_defaults().to_dict().get(name)
        if own != value and name not in fixed:
            yield (
                f"The baseline must be one of the space's configurations, but has {name}={own}, "
                f"and `suggest` returns {value} beside the baseline's values; change one of them."
            )


def _continuous(ranges: Sequence[SearchedRange]) -> list[str]:
    found = (
        each.name
        for each in ranges
        if type(each.distribution).__name__ == "FloatDistribution"
        and getattr(each.distribution, "step", None) is None
        and not each.distribution.single()
    )
    return list(dict.fromkeys(found))


def _notes(
    ranges: Sequence[SearchedRange], proposer: Proposer, configs: Sequence[TrialConfig]
) -> Iterator[str]:
    names = list(dict.fromkeys(each.name for each in ranges))
    for name in names:
        if all(each.distribution.single() for each in ranges if each.name == name):
            yield f"{name} is the same in all trials, and could be the baseline's alone."
        if any(each.condition is None for each in ranges if each.name == name):
            yield f"{name} is searched in some trials, and neither one choice nor two say in which."
    if not names and configs:
        yield "Nothing is searched: all trials are the baseline."
    for name, (owner, value) in CONDITIONAL.items():
        chosen = any(getattr(each, owner) == value for each in configs)
        if owner in names and chosen and name not in names:
            own = proposer.space.baseline.effective_value(name)
            default = "its default" if own is None else f"the baseline's {own}"
            yield f"{name} isn't searched: beside {owner}={value} it is {default}."


def count_configurations(proposer: Proposer) -> int | None:
    """Returns how many configurations a space of choices and steps has, or `None` for more than
    `COUNTED`. Every branch is gone through. Raises `SpaceError`.
    """
    open_, count = [tuple[int, ...]()], 0
    while open_:
        taken = open_.pop()
        walk = _Walk(taken)
        ask_space(proposer.space, walk, proposer.fixed)
        count += 1
        for at in range(len(taken), len(walk.widths)):
            begin = (*taken, *[0] * (at - len(taken)))
            open_ += [(*begin, other) for other in range(1, walk.widths[at])]
        if count + len(open_) > COUNTED:
            return None
    return count


class _Walk(Probe):
    """Takes the numbered value of each parameter in turn, and the first one where no number is
    left. `widths` has how many values each parameter has.
    """

    def __init__(self, taken: Sequence[int]) -> None:
        super().__init__(0)
        self._taken, self.widths = taken, list[int]()

    def answer(self, name: str, distribution: BaseDistribution) -> Any:
        """Returns the value, and the same one when asked for `name` again."""
        if name not in self.params:
            values = _values(distribution)
            at = len(self.widths)
            self.widths.append(len(values))
            self.params[name] = values[self._taken[at] if at < len(self._taken) else 0]
            self.distributions[name] = distribution
        return self.params[name]


def _values(distribution: Any) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if distribution.low == distribution.high:
        return [distribution.low]
    if type(distribution).__name__ == "IntDistribution":
        return range(distribution.low, distribution.high + 1, distribution.step)
    steps = round((distribution.high - distribution.low) / distribution.step)
    return [distribution.low + distribution.step * n for n in range(steps + 1)]


def _costs(bounds: Bounds) -> list[NetworkCost]:
    found = []
    for each in bounds.networks or (bounds.largest,):
        count = parameters(each.network)
        found.append(
            NetworkCost(
                network=each.network,
                parameters_m=None if count is None else round(count / 1e6, 2),
                image_size=each.image_size,
                gmacs=forward_gmacs(each.network, each.image_size, each.stem),
                memory_bytes=worker_bytes(each),
            )
        )
    return found
