"""What a search optimises beside val_top1, and what Optuna is told of it."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

import optuna

from results.analysis.pareto import Point, minimised, values
from results.records import NetworkCosts, TrialRecord
from search.samplers.gp_sampler import STARTUP_TRIALS, Source

ALONE = ("val_top1",)
"""The objectives where no others are asked for."""

NETWORK = ("network", "image_size", "stem", "head_width")
"""The fields that one image's inference depends on; precision is the same for all trials."""

_DECIDING = {"latency_ms": NETWORK, "parameters_m": ("network", "stem", "head_width")}

MISSING = "epochs_missing"
"""A constraint on Optuna's trials: none may be missing of a full training."""


def idle(objectives: Sequence[str], searched: Iterable[str], space: str) -> list[str]:
    """A sentence for each objective that is the same in all trials, whatever is chosen."""
    searched = set(searched)
    return [
        f"--objectives {name} needs networks that differ, but {space} searches none of "
        f"{', '.join(_DECIDING[name])}; leave it out, or choose a space that does."
        for name in objectives
        if name in _DECIDING and not searched & set(_DECIDING[name])
    ]


def priced(
    record: TrialRecord, others: Iterable[TrialRecord], costs: NetworkCosts | None = None
) -> TrialRecord:
    """The record with what its network costs: what the first of `others` like it costs, or `costs`.

    Were each trial to count its own measurement, a lucky one would make it the fastest of many
    equal networks, which no val_top1 could dominate.
    """
    like = (each for each in others if each.latency_ms is not None and _alike(each, record))
    if first := next(like, None):
        return replace(record, latency_ms=first.latency_ms, parameters_m=first.parameters_m)
    return replace(record, **asdict(costs)) if costs else record


def _alike(one: TrialRecord, other: TrialRecord) -> bool:
    return all(one.config.get(name) == other.config.get(name) for name in NETWORK)


def costs_of(record: TrialRecord, objectives: Sequence[str]) -> Point:
    """The trial's objectives beside val_top1, to be minimised. It must have been measured."""
    others = [name for name in objectives if name != "val_top1"]
    found = values(record, others)
    if found is None:
        raise ValueError(f"Trial {record.number} must be measured before its first epoch.")
    return minimised(found, others)


def make_front_sampler(_source: Source, seed: int, *_known: object) -> optuna.samplers.BaseSampler:
    """The sampler of one trial of a study with several objectives, fresh for each.

    TPE, whose good group is then the best by non-dominated rank, filled up by hypervolume (Ozaki
    et al. 2022, doi:10.1613/jair.1.13188). NSGA-II draws at random until as many trials as its
    population, 50, are complete, which few searches come to.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=STARTUP_TRIALS,
            multivariate=False,
            constant_liar=True,
        )


def tell_missing(trial: optuna.Trial, epochs: int) -> None:
    """Says of a trial that was stopped how many epochs of a full training it lacks.

    With several objectives Optuna takes no values before a trial's end, and told PRUNED alone it
    would take the earliest stopped trials for the best of them. Told COMPLETE they would be
    compared at another length; told FAIL, forgotten. A violated constraint puts them behind all
    that are complete, those that came further first.
    """
    if MISSING not in trial.constraints:  # set already where a search was killed in between
        trial.set_constraint(MISSING, epochs)
