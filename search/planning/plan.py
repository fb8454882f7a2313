"""Turns options into a plan: finds everything that can be known, and rejected, before anything
starts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution

from common.errors import UserError
from datasets.registry import find_dataset
from results.analysis.pareto import parse_objectives
from results.store import MANIFEST
from search.config.command_line import fixed_fields
from search.config.options import SearchOptions
from search.early_stopping import asha
from search.hardware.allocation import Resources, allocate, allocate_nodes
from search.hardware.machine import Cluster, Machine, combine_machines, detect_machine
from search.hardware.memory import worker_bytes
from search.planning.bounds import Bounds, find_bounds
from search.planning.continuation import planned_horizons
from search.planning.option_errors import find_gpu_errors, find_path_errors, find_set_errors
from search.planning.warm_start import EarlierRun, read_earlier_run
from search.samplers.gp_sampler import GaussianProcessSampler, MakeSampler
from search.samplers.tpe import make_front_sampler
from search.space import Space
from search.spaces import find_space
from search.study.horizons import Horizon
from search.study.objectives import find_constant_objectives
from search.study.proposer import Proposer
from trainables.config import TrialConfig

T = TypeVar("T")


def allocate_resources(
    options: SearchOptions, here: Machine, cluster: Cluster | None, needed: int, gpus_per_trial: str
) -> Resources:
    """Returns how many trials run at once, on this machine or on the nodes of a cluster.

    needed: the memory that the largest trial needs, in bytes.
    gpus_per_trial: `auto` or a number, the share of a GPU for each trial.
    """
    if cluster is None:
        return allocate(
            here,
            concurrency=options.concurrency,
            gpus_per_trial=gpus_per_trial,
            trials=options.trials,
            worker_bytes=needed,
        )
    return allocate_nodes(
        cluster.nodes,
        concurrency=options.concurrency,
        gpus_per_trial=gpus_per_trial,
        trials=options.trials,
        worker_bytes=needed,
        gpus_only=options.gpu_hours > 0,
    )


PREVIEWED = 5
"""A plan shows this many of the first configurations."""
_PROBED = 20
"""This many random configurations are built while planning, to find a range that breaks a rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a search will do, in values: `make_proposer` makes of them what proposes its trials.

    `fixed` are the `TrialConfig` fields that no trial may vary; precision may be `auto` there.
    `preview` are the first configurations, the baseline first. `epochs`, `grace` and `rungs` are
    those of the last of `horizons`, which new trials have. `earlier` are the runs that a new one
    is warm-started from. `machine` is all nodes' hardware together where the search runs on a
    `cluster`.
    """

    name: str
    options: SearchOptions
    space: Space
    dataset: str
    directory: Path
    horizons: tuple[Horizon, ...]
    earlier: tuple[EarlierRun, ...]
    epochs: int
    grace: int
    rungs: tuple[int, ...]
    fixed: Mapping[str, Any]
    preview: list[TrialConfig]
    ranges: dict[str, BaseDistribution]
    bounds: Bounds
    machine: Machine
    cluster: Cluster | None
    resources: Resources
    objectives: tuple[str, ...]

    @property
    def data(self) -> Path:
        """Returns the folder of the prepared dataset."""
        return Path(self.options.data) / self.dataset

    @property
    def baseline(self) -> TrialConfig:
        """Returns the baseline's configuration, which is that of trial 0."""
        return self.preview[0]


def make_plan(
    options: SearchOptions, *, resuming: bool, cluster: Cluster | None = None
) -> tuple[Plan | None, list[str]]:
    """Returns a plan and no errors, or `None` and one sentence for each error.

    resuming: whether the run exists already.
    cluster: the cluster to run on, or `None` for this machine alone.
    """
    errors: list[str] = []
    here = combine_machines(cluster.nodes) if cluster else detect_machine()
    space = _attempt(errors, lambda: find_space(options.space)) if options.space else None
    if space is None:
        return None, errors
    dataset = options.dataset or space.dataset
    name = options.name or f"{Path(options.space).stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    directory = Path(options.out) / name
    weights = _weights(options, "none")
    errors += find_path_errors(options, dataset, directory, weights, resuming=resuming)
    errors += find_gpu_errors(options, here, cluster)
    errors += find_set_errors(options)
    wanted = parse_objectives(options.objectives)
    fixed, make = _fixed(options, space), _sampler_for(wanted)
    proposer = Proposer(space, fixed, options.seed, make=make)
    begun = directory if resuming and (directory / MANIFEST).exists() else None
    named = () if resuming else map(Path, options.warm_start)
    earlier = [run for path in named if (run := _attempt(errors, partial(read_earlier_run, path)))]
    found = _attempt(errors, lambda: planned_horizons(options, proposer, begun, earlier))
    if found:
        options, horizons = found
        fixed["epochs"] = horizons[-1].epochs
        proposer = Proposer(space, fixed, options.seed, horizons, make)
    previewed = _attempt(errors, lambda: proposer.preview(_PROBED))
    ends = (
        _attempt(errors, lambda: find_bounds(previewed[0][0], previewed[1])) if previewed else None
    )
    if previewed is not None:
        errors += find_constant_objectives(wanted, previewed[1], options.space)
    if found is None or previewed is None or ends is None or errors:
        return None, list(dict.fromkeys(errors))  # one may be met twice
    last = horizons[-1]
    needed = max(worker_bytes(config) for config in (ends.largest, *previewed[0]))
    return Plan(
        name=name,
        options=options,
        space=space,
        dataset=dataset,
        directory=directory,
        horizons=horizons,
        earlier=tuple(earlier),
        epochs=last.epochs,
        grace=last.grace,
        rungs=asha.rung_epochs(
            grace=last.grace, factor=options.reduction_factor, epochs=last.epochs
        ),
        fixed=fixed,
        preview=previewed[0][: _count_previewed(options, horizons)],
        ranges=previewed[1],
        bounds=ends,
        machine=here,
        cluster=cluster,
        resources=allocate_resources(options, here, cluster, needed, options.gpus_per_trial),
        objectives=wanted,
    ), []


def make_proposer(plan: Plan, precision: str | None = None) -> Proposer:
    """What proposes the plan's configurations; `precision` is what `auto` has turned out to be."""
    fixed = plan.fixed if precision is None else {**plan.fixed, "precision": precision}
    make = _sampler_for(plan.objectives)
    return Proposer(plan.space, fixed, plan.options.seed, plan.horizons, make)


def _sampler_for(objectives: Sequence[str]) -> MakeSampler:
    return make_front_sampler if len(objectives) > 1 else GaussianProcessSampler


def _count_previewed(options: SearchOptions, horizons: Sequence[Horizon]) -> int:
    """How many of the first configurations can be told: after a warm start, those queued alone.

    What the sampler proposes then depends on results from the beginning.
    """
    return len(horizons[0].queue) if options.warm_start else PREVIEWED


def _attempt(errors: list[str], make: Callable[[], T]) -> T | None:
    """What `make` gives; `None` when it raises, with its sentences added to `errors`."""
    try:
        return make()
    except UserError as error:
        errors += error.errors
    return None


def _fixed(options: SearchOptions, space: Space) -> dict[str, Any]:
    """Returns the fields that all trials share, by name. Values from `--set` override those of
    other options.

    Without pretrained weights there is nothing worth freezing, so that all stages train.
    """
    fixed: dict[str, Any] = {
        "epochs": options.epochs or space.baseline.epochs,
        "seed": options.seed,
        "precision": options.precision,
    }
    values = fixed_fields(options)
    values.pop("weights", None)
    weights = _weights(options, space.baseline.weights)
    fixed["weights"] = _absolute(weights)
    if weights == "none":
        fixed["freeze_depth"] = 0
    return fixed | values


def _weights(options: SearchOptions, default: str) -> str:
    """Returns the weights that training starts from: those in `--set weights=`, else those in
    `--weights`, else `default`.
    """
    return str(fixed_fields(options).get("weights", options.weights or default))


def _absolute(weights: str) -> str:
    """Returns the absolute path of a weights file, because workers have another working directory;
    `none` and `imagenet` stay as they are.
    """
    return weights if weights in ("none", "imagenet") else str(Path(weights).expanduser().resolve())


def size_to_store(plan: Plan) -> int | None:
    """Returns the side, in pixels, at which to store a dataset whose images come in any size: the
    largest that a trial uses.

    Returns `None` where the dataset defines its size or is already prepared.
    """
    if not find_dataset(plan.dataset).any_size or (plan.data / "manifest.json").exists():
        return None
    return plan.bounds.largest.image_size
