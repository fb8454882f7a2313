"""Which parameters mattered in a run, at each rung, among all trials that reached it.

python -m results.importance runs/NAME

Optuna alone counts completed trials only, and with ASHA these are few and chosen by what they
showed before. Here every trial counts at every rung that it reached, with its val_top1 there.
"""

import argparse
import logging
import random
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, create_trial
from rich.console import Console
from rich.table import Table

from results.records import RecordError, StopReason
from results.store import RunError, read_epochs, read_manifest, read_trials

JOURNAL = "journal.log"

MIN_TRIALS = 16
"""Fewer trials give no number. Simulated studies of one parameter that decides nearly everything
and one that decides nothing, 20 for each count: the first was told from noise in 4 of them with 10
trials, 10 with 16, 15 with 24 and 20 with 32, the second in none."""

REPEATS = 99
"""Shuffles, for the noise, and resamples, for the spread."""

DIVERGED = 0.0
"""What a diverged trial counts at the rung that it would have come to: worse than any other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """One parameter's importance among some trials.

    `share` is its part of all parameters' importance, 0…1, and `spread` the standard deviation
    of that part over resampled trials. `above_noise`: it is larger than after every one of
    `REPEATS` shuffles of the trials' results, which happens to a parameter that has no effect
    once in a hundred times.
    """

    share: float
    spread: float
    above_noise: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What told the better half of some trials from all of them, at one rung.

    `trials` counts them; `parameters` is `None` when they are fewer than `MIN_TRIALS`, or when
    more than half of them share the lowest value.
    """

    epoch: int
    trials: int
    parameters: dict[str, Importance] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A comparison for each rung, in order of epochs: of all its trials, and of its upper quarter."""

    overall: list[Comparison]
    upper_quarter: list[Comparison]


def importances(run: Path, repeats: int = REPEATS) -> Report:
    """What mattered at each rung at which trials were stopped, and after the last epoch.

    Same records, same numbers. A trial that is running, or has failed, counts at the rungs that
    it reached: what ended it elsewhere is no matter of accuracy. Raises `RunError` and
    `RecordError` for a run that can't be read.
    """
    read_manifest(run)
    with _quiet_optuna():
        proposed = _proposed(run)
        rungs = {epoch: _ranked(proposed, at) for epoch, at in values_at_rungs(run).items()}
        return Report(
            overall=[_compare(epoch, trials, repeats) for epoch, trials in rungs.items()],
            upper_quarter=[
                _compare(epoch, trials[: -(-len(trials) // 4)], repeats)
                for epoch, trials in rungs.items()
            ],
        )


def values_at_rungs(run: Path) -> dict[int, dict[int, float]]:
    """val_top1 by epoch and trial number, for each rung and the last epoch.

    A rung is an epoch after which a trial was stopped because of its rank. A diverged trial
    counts `DIVERGED` at the first rung from the epoch on in which it diverged: its parameters
    are why it has nothing better to show.
    """
    records = read_trials(run)
    rungs = {r.epochs for r in records.values() if r.reason is StopReason.RUNG}
    rungs |= {max((r.config.get("epochs", 0) for r in records.values()), default=0)} - {0}
    found: dict[int, dict[int, float]] = {rung: {} for rung in sorted(rungs)}
    for number, metrics in read_epochs(run):
        if metrics.epoch in found and metrics.val_top1 is not None:
            found[metrics.epoch][number] = metrics.val_top1
    for number, record in records.items():
        later = [rung for rung in found if rung >= record.epochs]
        if record.reason is StopReason.DIVERGED and later:
            found[later[0]][number] = DIVERGED
    return found


def _proposed(run: Path) -> dict[int, FrozenTrial]:
    """Every trial's parameters and their ranges, by number, from the study's journal.

    Optuna only reads here, also while a search writes: a last line that isn't whole is left out.
    """
    path = run / JOURNAL
    if not path.exists():
        raise RunError(
            f"{path} must be there, for it alone holds the parameters' ranges; copy it from "
            "where the search ran."
        )
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
        studies = storage.get_all_studies()
        trials = storage.get_all_trials(studies[0]._study_id) if studies else []
    except (ValueError, KeyError) as error:
        raise RunError(f"{path} is damaged ({error}); restore it from a copy.") from error
    return {trial.number: trial for trial in trials}


def _ranked(proposed: Mapping[int, FrozenTrial], values: Mapping[int, float]) -> list[FrozenTrial]:
    """The trials with these values, as completed ones: best first, ties to the earlier."""
    if missing := values.keys() - proposed.keys():
        raise RunError(
            f"{JOURNAL} must hold every trial of the run, but it has no trial {min(missing)}; "
            "restore it from a copy of the run."
        )
    trials = []
    for number in sorted(values, key=lambda n: (-values[n], n)):
        known = proposed[number]
        # Optuna refuses a value outside of its range, as a baseline's can be: it lies nowhere.
        with suppress(ValueError):
            trials.append(
                create_trial(
                    params=known.params, distributions=known.distributions, value=values[number]
                )
            )
    return trials


def _compare(epoch: int, trials: Sequence[FrozenTrial], repeats: int) -> Comparison:
    parameters = _parameters(trials, repeats) if len(trials) >= MIN_TRIALS else None
    return Comparison(epoch=epoch, trials=len(trials), parameters=parameters)


def _parameters(trials: Sequence[FrozenTrial], repeats: int) -> dict[str, Importance] | None:
    """Every parameter's importance, largest first; `None` when too many trials are equal."""
    draw = random.Random(0)
    values = [float(trial.values[0]) for trial in trials]
    study = _study(trials)
    seen = _divergences(study, values)
    if not any(seen.values()):
        return None
    shuffled = [_divergences(study, draw.sample(values, len(values))) for _ in range(repeats)]
    resampled = [
        _shares(_divergences(_study(again), [float(trial.values[0]) for trial in again]))
        for again in (draw.choices(trials, k=len(trials)) for _ in range(repeats))
    ]
    return {
        name: Importance(
            share=share,
            spread=statistics.stdev(shares.get(name, 0.0) for shares in resampled),
            above_noise=all(seen[name] > noise[name] for noise in shuffled),
        )
        for name, share in sorted(_shares(seen).items(), key=lambda item: (-item[1], item[0]))
    }


def _divergences(study: optuna.Study, values: Sequence[float]) -> dict[str, float]:
    """How much the better half's values of each parameter differ from those of all trials.

    PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255, conditional parameters as in
    arXiv:2601.20800): the one evaluator of Optuna's that takes parameters which only some trials
    have. It compares with the trials as they were proposed, not with the whole range, so what the
    sampler preferred is no importance. Half of the trials, not Optuna's tenth: with dozens of
    trials a tenth is a handful. It goes by order alone, and `values` may be in any unit.
    """
    with warnings.catch_warnings():
        # Of parts that are experimental, and of what is done here on purpose: `target` is negated.
        warnings.simplefilter("ignore")
        return get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=0.5),
            target=lambda trial: -values[trial.number],
            normalize=False,
        )


def _shares(divergences: Mapping[str, float]) -> dict[str, float]:
    total = sum(divergences.values())
    return {name: value / total if total else 0.0 for name, value in divergences.items()}


def _study(trials: Sequence[FrozenTrial]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    study.add_trials(trials)
    return study


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna logs every study that is made."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
