"""Examines a space without images: draws from it, and collects whatever is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from common.errors import UserError
from datasets.registry import find_dataset
from results.analysis.searched_ranges import Prior, SearchedRange
from search.config.options import SearchOptions
from search.hardware.memory import worker_bytes
from search.planning.bounds import Bounds, find_bounds_of_networks
from search.planning.fixed_fields import find_other_baseline, fix_fields
from search.planning.space_mistakes import Mistakes
from search.planning.space_walk import Walk, is_continuous, walk_configurations
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
    mistakes = Mistakes()
    mistakes.add(_errors_of_dataset(space))
    drawn, configs = _draw(proposer, mistakes)
    size = None if mistakes else _walk(proposer, drawn, mistakes)
    bounds = _find_errors(proposer, drawn, configs, mistakes) if drawn else None
    ranges = find_ranges(drawn) if drawn else ()
    names = (each.name for each in ranges if is_continuous(each.distribution))
    continuous = list(dict.fromkeys(names))
    return SpaceReport(
        name=name,
        space=space,
        errors=mistakes.sentences,
        notes=list(_notes(ranges, proposer, configs)),
        ranges=ranges,
        size=None if continuous or mistakes else size,
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


def _draw(proposer: Proposer, mistakes: Mistakes) -> tuple[list[Probe], list[TrialConfig]]:
    """Returns random configurations as what was asked for, and as those that keep all rules. Adds
    each fault that drawing them has met.
    """
    drawn, configs = list[Probe](), list[TrialConfig]()
    for number in range(DRAWN):
        probe = Probe(number)
        answered, config = _examine(proposer, probe, mistakes)
        drawn += [probe] * answered
        configs += [config] if config else []
        if not drawn and number >= 20:
            break
    return drawn, configs


def _examine(
    proposer: Proposer, probe: Probe, mistakes: Mistakes
) -> tuple[bool, TrialConfig | None]:
    """Returns whether the space answers for a configuration, and the configuration unless it breaks
    a rule. Adds what is wrong with it.
    """
    answered, config = False, None
    try:
        with quiet_ranges():
            values = ask_space(proposer.space, probe, proposer.fixed)
        probe.compare(values)
        answered = True
        config = proposer.complete(values)
    except SpaceError as error:
        mistakes.add(error.errors)
    except ConfigError as error:
        mistakes.add(error.errors, probe.params)
    mistakes.add(probe.faults)
    return answered, config


def _walk(proposer: Proposer, drawn: list[Probe], mistakes: Mistakes) -> int | None:
    """Returns the number of configurations as `walk_configurations` counts them. Adds to `drawn`
    those with a range that none of them had, and what is wrong with branches that they missed.
    """
    known = {item for each in drawn for item in each.distributions.items()}

    def examine(walk: Walk) -> None:
        answered, _ = _examine(proposer, walk, mistakes)
        if answered and not known.issuperset(walk.distributions.items()):
            known.update(walk.distributions.items())
            drawn.append(walk)

    return walk_configurations(examine)


def _find_errors(
    proposer: Proposer,
    drawn: Sequence[Probe],
    configs: Sequence[TrialConfig],
    mistakes: Mistakes,
) -> Bounds | None:
    """Adds what is wrong with the ranges, the baseline, the priors and the ends of the ranges to
    `mistakes`, and returns the bounds of all trials, if there are any.
    """
    ranges = find_ranges(drawn)
    mistakes.add(find_incompatible(ranges))
    mistakes.add(find_wrong_priors(proposer.space.prior, ranges, proposer.fixed))
    try:
        outside = proposer.baseline_errors()
        mistakes.add(outside)
        if outside or not configs:
            return None
        first = proposer.nearest(proposer.space.baseline.to_dict())[1]
        mistakes.add(find_other_baseline(proposer.space))
        return find_bounds_of_networks(proposer, first, merge_ranges(ranges))
    except UserError as error:
        mistakes.add(error.errors)
    return None


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
