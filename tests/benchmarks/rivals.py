"""Other policies for the simulated clock: Optuna's pruners and its Gaussian process, and one epoch
for all.
"""

import math
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner
from optuna.samplers import GPSampler, TPESampler
from optuna.storages import InMemoryStorage

from results.records import EpochMetrics, TrainingId
from search.early_stopping.decision import Rules
from search.simulation.points import Point, PointProposer
from search.simulation.policies import Policy, study_of
from search.simulation.recorded_curves import Curves
from search.study.proposer import Proposal

ENDED = "ended"


class OptunaPruning:
    """Optuna as its tutorial shows it: the default sampler, `report` and `should_prune`."""

    def __init__(self, curves: Curves, seed: int, pruner: BasePruner) -> None:
        self._proposer, self._epochs = PointProposer(curves, seed), curves.epochs
        self._running: dict[int, optuna.Trial] = {}
        self._study = optuna.create_study(
            study_name=f"seed {seed}",  # Hyperband deals trials out by the study's name
            storage=InMemoryStorage(),
            direction="maximize",
            sampler=TPESampler(seed=seed),
            pruner=pruner,
        )

    def ask(self) -> Proposal[Point]:
        trial = self._study.ask()
        self._running[trial.number] = trial
        return Proposal(training=TrainingId(trial.number), config=self._proposer.propose(trial)[1])

    def report(self, number: int, metrics: EpochMetrics) -> str | None:
        trial = self._running[number]
        trial.report(metrics.val_top1, metrics.epoch)
        if metrics.epoch >= self._epochs:
            self._study.tell(trial, metrics.val_top1)
        elif trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            return None
        del self._running[number]
        return ENDED


class OneEpoch:
    """One epoch of random configurations for half of the budget, then the best to their end.

    The baseline of arXiv:2307.15422, which must know its budget (in epochs) beforehand.
    """

    def __init__(self, curves: Curves, seed: int, budget: int) -> None:
        self._epochs = curves.epochs
        self._top = max(1, budget // (2 * (curves.epochs - 1)))
        self._candidates = max(self._top, budget - self._top * (curves.epochs - 1))
        self._proposer = PointProposer(curves, seed)
        self._study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        self._points: list[Point] = []
        self._seen: dict[int, float] = {}
        self._promoted: list[int] | None = None

    def ask(self) -> Proposal[Point] | None:
        if len(self._points) < self._candidates:
            self._points.append(self._proposer.propose(self._study.ask())[1])
            number = len(self._points) - 1
            return Proposal(training=TrainingId(number), config=self._points[number])
        if self._promoted is None and len(self._seen) == self._candidates:
            ranked = sorted(self._seen, key=self._seen.__getitem__, reverse=True)
            self._promoted = ranked[: self._top]
        if not self._promoted:
            return None
        number = self._promoted.pop(0)
        return Proposal(training=TrainingId(number), config=self._points[number], epochs_done=1)

    def report(self, number: int, metrics: EpochMetrics) -> str | None:
        self._seen.setdefault(number, metrics.val_top1 if metrics.val_top1 is not None else 0.0)
        return ENDED if metrics.epoch in (1, self._epochs) else None


def hyperband(curves: Curves, rules: Rules, seed: int) -> Policy:
    return OptunaPruning(curves, seed, HyperbandPruner())


def successive_halving(curves: Curves, rules: Rules, seed: int) -> Policy:
    return OptunaPruning(curves, seed, SuccessiveHalvingPruner())


def gaussian_process(curves: Curves, rules: Rules, seed: int) -> Policy:
    """Optuna's `GPSampler` instead of ours, and our rungs; it learns from full trainings alone."""
    sampler = GPSampler(seed=seed)
    return study_of(curves, rules.only_rungs(), seed, lambda *_: sampler)


def one_epoch(budget: float) -> Any:
    """The policy for a budget in full trainings."""

    def make(curves: Curves, rules: Rules, seed: int) -> Policy:
        return OneEpoch(curves, seed, math.floor(budget * curves.epochs))

    return make
