"""Turns options into a plan: finds everything that can be known, and rejected, before anything
starts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution

from common.errors import UserError
from datasets.registry import find_dataset
from datasets.spec import prepared_folder
from results.analysis.pareto import parse_objectives
from results.store import MANIFEST
from search.config.options import SCREENING, SearchOptions
from search.early_stopping import asha
from search.hardware.allocation import Resources
from search.hardware.gpus import Gpu
from search.hardware.machine import Cluster, Machine, combine_machines, detect_machine
from search.hardware.memory import worker_bytes
from search.hardware.packing import Packing
from search.planning.bounds import Bounds, find_bounds_of_networks
from search.planning.continuation import planned_horizons
from search.planning.fixed_fields import choose_weights, fix_fields
from search.planning.option_errors import find_gpu_errors, find_path_errors, find_set_errors
from search.planning.resources import allocate_resources
from search.planning.same_space import SearchedSpace, examine_space, find_space_of_run
from search.planning.warm_start import EarlierRun, read_earlier_run
from search.samplers.front_sampler import make_front_sampler
from search.samplers.gp_sampler import GaussianProcessSampler
from search.samplers.source import MakeSampler
from search.space import Space
from search.study.horizons import Horizon
from search.study.objectives import find_constant_objectives
from search.study.proposer import Proposer
from search.study.searched_ranges import Drawn, merge_ranges
from trainables.config import TrialConfig

T = TypeVar("T")

PREVIEWED = 5
"""A plan shows this many of the first configurations."""
_PROBED = 20
"""This many random configurations are built while planning, to find a range that breaks a rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Holds what a search will do, as values; `make_proposer` turns them into a proposer of trials.

    `fixed` are the `TrialConfig` fields that no trial may vary; precision may be `auto` there.
    `preview` are the first configurations, the baseline first, as far as results don't decide, and
    `drawn` are some without results, for the cost. `earlier` are the runs that a new run is
    warm-started from. `searched` has all ranges, and `ranges` one for each parameter that holds all
    of the parameter's ranges. `machine` is the hardware of all nodes together where the
    search runs on a `cluster`. `packing` is how fast trials train together on a GPU, if that was
    measured, and `gpu` has the settings and versions that a GPU's numbers depend on.
    """

    options: SearchOptions
    space: Space
    dataset: str
    directory: Path
    horizons: tuple[Horizon, ...]
    earlier: tuple[EarlierRun, ...]
    fixed: Mapping[str, Any]
    preview: list[TrialConfig]
    drawn: list[TrialConfig]
    searched: SearchedSpace
    ranges: dict[str, BaseDistribution]
    bounds: Bounds
    machine: Machine
    cluster: Cluster | None
    resources: Resources
    packing: Packing | None = None
    gpu: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Returns the name of the run, which is also that of its folder."""
        return self.directory.name

    @property
    def data(self) -> Path:
        """Returns the folder of the prepared dataset."""
        return prepared_folder(Path(self.options.data), self.dataset)

    @property
    def baseline(self) -> TrialConfig:
        """Returns the baseline's configuration, which is that of trial 0."""
        return self.preview[0]

    @property
    def epochs(self) -> int:
        """Returns the length of a new trial's whole training, in epochs."""
        return self.horizons[-1].epochs

    @property
    def first(self) -> int:
        """Returns the number of the first trial of the present length and space."""
        return max(self.horizons[-1].first, self.searched.since)

    @property
    def grace(self) -> int:
        """Returns the first rung of new trials, in epochs."""
        return self.horizons[-1].grace

    @property
    def rungs(self) -> tuple[int, ...]:
        """Returns the epochs after which new trials are compared."""
        factor = self.options.reduction_factor
        return asha.rung_epochs(grace=self.grace, factor=factor, epochs=self.epochs)

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """Returns the GPUs that trials train on; none where they train on cores."""
        return self.machine.gpus if self.resources.per_gpu else ()

    @property
    def objectives(self) -> tuple[str, ...]:
        """Returns the objectives that trials are compared by, val_top1 first."""
        return parse_objectives(self.options.objectives)


@dataclass(frozen=True, kw_only=True, slots=True)
class _PlannedTrials:
    """Holds what is known of a search's trials before any of them runs. `options` allow as many
    trials as `horizons` need, and `preview` are up to `_PROBED` of the first configurations.
    """

    options: SearchOptions
    horizons: tuple[Horizon, ...]
    preview: list[TrialConfig]
    searched: SearchedSpace
    ranges: dict[str, BaseDistribution]
    bounds: Bounds


def make_plan(
    options: SearchOptions,
    *,
    resuming: bool,
    cluster: Cluster | None = None,
    machine: Machine | None = None,
    accept_space: bool = False,
) -> tuple[Plan | None, list[str]]:
    """Returns a plan and no errors, or `None` and one sentence for each error.

    resuming: whether the run exists already.
    cluster: the cluster to run on, or `None` for one machine alone.
    machine: the hardware to run on where there is no cluster (default: what is detected here).
    accept_space: whether an existing run may go on with a space whose ranges have changed.
    """
    errors: list[str] = []
    find = partial(find_space_of_run, options, resuming=resuming)
    space = _attempt(errors, find) if options.space else None
    if space is None:
        return None, errors
    here = combine_machines(cluster.nodes) if cluster else machine or detect_machine()
    dataset = options.dataset or space.dataset
    directory = Path(options.out) / (options.name or _new_name(options.space))
    weights = choose_weights(options, "none")
    errors += find_path_errors(options, dataset, directory, weights, resuming=resuming)
    errors += find_gpu_errors(options, here, resuming=resuming)
    errors += find_set_errors(options)
    fixed = fix_fields(options, space)
    begun = directory if resuming and (directory / MANIFEST).exists() else None
    named = () if resuming else map(Path, options.warm_start)
    earlier = [run for path in named if (run := _attempt(errors, partial(read_earlier_run, path)))]
    trials = _plan_trials(errors, options, space, fixed, begun, earlier, accept_space)
    if trials is None or errors:
        return None, list(dict.fromkeys(errors))  # one may be met twice
    largest = max(worker_bytes(config) for config in (trials.bounds.largest, *trials.preview))
    options = trials.options
    return Plan(
        options=options,
        space=replace(space, prior=trials.searched.priors),
        dataset=dataset,
        directory=directory,
        horizons=trials.horizons,
        earlier=tuple(earlier),
        fixed=fixed | {"epochs": trials.horizons[-1].epochs},
        preview=trials.preview[: _count_previewed(options, trials)],
        drawn=trials.preview,
        searched=trials.searched,
        ranges=trials.ranges,
        bounds=trials.bounds,
        machine=here,
        cluster=cluster,
        resources=allocate_resources(options, here, cluster, largest),
    ), []


def _new_name(space: str) -> str:
    """Returns a run's default name: that of its space, followed by the present time."""
    return f"{Path(space).stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"


def _plan_trials(
    errors: list[str],
    options: SearchOptions,
    space: Space,
    fixed: Mapping[str, Any],
    begun: Path | None,
    earlier: Sequence[EarlierRun],
    accept_space: bool,
) -> _PlannedTrials | None:
    """Returns the trials of a new run, or of the one in `begun`. Where they can't be planned, adds
    one sentence for each fault to `errors`.
    """
    objectives = parse_objectives(options.objectives)
    make = _sampler_for(objectives)
    proposer = Proposer(space, fixed, options.seed, make=make)
    examine = partial(examine_space, options.space, proposer, begun, accept=accept_space)
    searched = _attempt(errors, examine)
    # The priors of a faulty space may be faulty too.
    outside, priors = (searched.outside, searched.priors) if searched else ((), {})
    proposer = Proposer(replace(space, prior=priors), fixed, options.seed, make=make)
    found = _attempt(errors, lambda: planned_horizons(options, proposer, begun, earlier, outside))
    if found:
        options, horizons = found
        fixed = {**fixed, "epochs": horizons[-1].epochs}
        proposer = Proposer(proposer.space, fixed, options.seed, horizons, make)
    if searched is None:
        return None
    ranges, bounds = merge_ranges(searched.ranges), None
    if first := _attempt(errors, lambda: proposer.preview(1)[0][0]):
        bounds = _attempt(errors, lambda: find_bounds_of_networks(proposer, first, ranges))
    # What is wrong beside one network, its bounds have shown already.
    known = "network" in ranges and bounds is None
    preview = None if known else _attempt(errors, lambda: proposer.preview(_PROBED)[0])
    errors += find_constant_objectives(objectives, ranges, options.space)
    if found is None or bounds is None or preview is None:
        return None
    return _PlannedTrials(
        options=options,
        horizons=horizons,
        preview=preview,
        searched=searched,
        ranges=ranges,
        bounds=bounds,
    )


def make_proposer(
    plan: Plan, precision: str | None = None, watch: Callable[[Drawn], object] = lambda _: None
) -> Proposer:
    """Returns the proposer of the plan's trials. `precision` is the precision that was chosen where
    the plan leaves it open, and `watch` is called with each trial that is proposed.
    """
    fixed = plan.fixed if precision is None else {**plan.fixed, "precision": precision}
    make = _sampler_for(plan.objectives)
    return Proposer(plan.space, fixed, plan.options.seed, plan.horizons, make, watch)


def _sampler_for(objectives: Sequence[str]) -> MakeSampler:
    return make_front_sampler if len(objectives) > 1 else GaussianProcessSampler


def _count_previewed(options: SearchOptions, trials: _PlannedTrials) -> int:
    """Returns how many of the search's first configurations don't depend on results."""
    depend = options.warm_start or options.fidelity == SCREENING
    predicted = len(trials.horizons[0].queue) if depend else PREVIEWED
    return max(min(predicted, options.trials), 1)


def _attempt(errors: list[str], make: Callable[[], T]) -> T | None:
    """Returns what `make` returns, or `None` where it raises a `UserError`, whose sentences are
    added to `errors`.
    """
    try:
        return make()
    except UserError as error:
        errors += error.errors
    return None


def size_to_store(plan: Plan) -> int | None:
    """Returns the side, in pixels, at which to store a dataset whose images come in any size: the
    largest that a trial uses.

    Returns `None` where the dataset defines its size or is already prepared.
    """
    if not find_dataset(plan.dataset).any_size or (plan.data / "manifest.json").exists():
        return None
    return plan.bounds.image_size
