"""Ray's `TrialScheduler`, over the supervisor: every epoch goes through here, and every failure."""

from collections import Counter
from dataclasses import replace
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from results.records import StopReason
from results.store import RunError
from search.ray_backend.failures import Failure, read_failure
from search.ray_backend.slots import Slots
from search.ray_backend.task import Note, Task, read_report
from search.ray_backend.watchdog import Watchdog
from search.ray_backend.worker import resource_request
from search.study.observer import Observer
from search.study.supervisor import Supervisor
from trainables.config import TrialConfig
from trainables.training.micro_batches import halve_micro_batch

MOST_NODES_LOST = 3
"""So many in a row, without an epoch between, and the next one counts as the training's failure."""


class StudyScheduler(FIFOScheduler):
    """Runs trainings in the order proposed and stops them when the supervisor says so.

    The observer is told of everything that comes through here, once it is decided.
    """

    def __init__(
        self, supervisor: Supervisor, observer: Observer, watchdog: Watchdog, slots: Slots
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._supervisor, self._observer = supervisor, observer
        self._watchdog, self._slots = watchdog, slots
        # Of each training, how many nodes it lost one after the other, without an epoch between.
        self._lost: Counter[str] = Counter()

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Has Ray try a training that breaks off again just as often as the supervisor would.

        One whose node is lost goes on however often, but for a training that takes its nodes down.
        """
        super().on_trial_add(tune_controller, trial)
        again = self._supervisor.may_retry(Task.from_ray(trial.config).training)
        trial.max_failures = trial.num_failures + int(again)
        if self._lost[trial.trial_id] >= MOST_NODES_LOST:
            trial.run_metadata.num_failures += 1  # below 0 the limit would be none
            trial.max_failures = trial.num_failures - 1

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> str:
        """Takes an epoch; also ends trials that are complete, so that all come through here."""
        training, report = Task.from_ray(trial.config).training, read_report(result)
        if isinstance(report, Note):
            self._observer.noted(training, report.text)
            return str(self.CONTINUE)
        self._lost.pop(trial.trial_id, None)
        self._observer.first_step(report.first_step_at)
        if report.costs:
            self._observer.measured(self._supervisor.measured(training, report.costs))
        new = report.metrics.epoch > len(self._supervisor.epochs(training))
        ending = self._supervisor.epoch(training, report.metrics)
        self._observer.epoch(training, report.metrics, new=new)
        if ending is None:
            return str(self.CONTINUE)
        self._observer.ended(self._supervisor.record(training))
        return str(self.STOP)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Has a training that broke off go on, or ends it where its retry broke off too.

        Ray calls this also before it tries a trial again, and only then has marked it ERROR.
        Raises `RunError`, which ends the search, where the disk takes nothing more: the training
        stays unfinished then.
        """
        training, found = Task.from_ray(trial.config).training, read_failure(trial)
        if found.refusal:
            raise RunError(found.refusal)
        if stalled := self._watchdog.reason(training):
            found = Failure(error=stalled, reason=StopReason.STALLED)
        if trial.status != Trial.ERROR:
            self._supervisor.failed(training, found.error, found.reason)
            self._observer.ended(self._supervisor.record(training))
        elif found.node_lost:
            self._move(trial)
        else:
            self._retry(trial, found)

    def _move(self, trial: Trial) -> None:
        """To a slot that is there, of another kind where no node of its own kind is left."""
        training = Task.from_ray(trial.config).training
        self._lost[trial.trial_id] += 1
        done = len(self._supervisor.epochs(training))
        placement = self._slots.place(self._slots.again(trial.trial_id))
        _change(trial, epochs_done=done, placement=placement)
        trial.update_resources(resource_request(trial.config))
        self._observer.moved(training, done)

    def _retry(self, trial: Trial, found: Failure) -> None:
        task = Task.from_ray(trial.config)
        again = self._supervisor.retry(task.training, found.error, _retried(task.config, found))
        measure = self._supervisor.unmeasured(task.training)
        _change(trial, config=again.config, epochs_done=again.epochs_done, measure=measure)
        self._observer.retried(again, self._supervisor.record(task.training))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}


def _change(trial: Trial, **task: Any) -> None:
    """What its next worker is told."""
    changed = replace(Task.from_ray(trial.config), **task)
    trial.set_config(changed.to_ray())  # type: ignore[no-untyped-call]


def _retried(config: TrialConfig, found: Failure) -> TrialConfig:
    """What is tried again: after want of memory, with half as many images at once."""
    return halve_micro_batch(config) or config if found.reason is StopReason.MEMORY else config
