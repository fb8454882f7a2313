"""Ray Tune's own pairing for the simulated clock: `OptunaSearch` and `ASHAScheduler`.

Driven as Ray 2.60's controller does it (`tune_controller.py`, `_on_training_result`): the
scheduler hears an epoch first, and the searcher only when the trial goes on, or ends with it.
"""

from types import SimpleNamespace

from results.records import EpochMetrics, TrainingId
from search.early_stopping.decision import Rules
from search.simulation.points import Point
from search.simulation.policies import Policy
from search.simulation.recorded_curves import Curves
from search.study.proposer import Proposal


class RayTune:
    """Both classes, of which the scheduler reads a trial's id alone."""

    def __init__(self, curves: Curves, seed: int, *, grace: int, factor: float) -> None:
        # Only the processes that drive Ray's classes load them: it takes seconds.
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        self._searcher = OptunaSearch(space=curves.space, metric="val", mode="max", seed=seed)
        self._scheduler = ASHAScheduler(
            metric="val",
            mode="max",
            max_t=curves.epochs,
            grace_period=grace,
            reduction_factor=factor,
        )
        self._trials: list[SimpleNamespace] = []

    def ask(self) -> Proposal[Point] | None:
        trial = SimpleNamespace(trial_id=str(len(self._trials)))
        params = self._searcher.suggest(trial.trial_id)
        if params is None:
            return None
        self._scheduler.on_trial_add(None, trial)
        self._trials.append(trial)
        return Proposal(training=TrainingId(len(self._trials) - 1), config=Point(params))

    def report(self, number: int, metrics: EpochMetrics) -> str | None:
        trial = self._trials[number]
        result = {"training_iteration": metrics.epoch, "val": metrics.val_top1}
        decision = self._scheduler.on_trial_result(None, trial, result)
        if decision != self._scheduler.STOP:
            self._searcher.on_trial_result(trial.trial_id, result)
            return None
        self._scheduler.on_trial_complete(None, trial, result)
        self._searcher.on_trial_complete(trial.trial_id, result=result)
        return str(decision)


def stock(curves: Curves, rules: Rules, seed: int) -> Policy:
    """Ray's defaults: the first rung after one epoch, a quarter goes on."""
    return RayTune(curves, seed, grace=1, factor=4)


def same_rungs(curves: Curves, rules: Rules, seed: int) -> Policy:
    """Ray's classes with the rungs that our study has."""
    return RayTune(curves, seed, grace=rules.grace, factor=rules.factor)
