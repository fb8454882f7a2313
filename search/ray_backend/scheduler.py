"""Implements Ray's `TrialScheduler` and `Searcher` with the supervisor, which proposes, and gets
every epoch and every failure.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from results.records import StopReason
from results.store import RunError
from search.ray_backend.failures import Failure, read_failure
from search.ray_backend.slots import Slots
from search.ray_backend.task import Note, RunFiles, Task, read_report
from search.ray_backend.watchdog import Watchdog
from search.ray_backend.worker import resource_request
from search.study.observer import Observer
from search.study.supervisor import Supervisor
from trainables.config import TrialConfig
from trainables.training.micro_batches import halve_micro_batch

MOST_NODES_LOST = 3
"""After this many lost nodes in a row, without an epoch between, a training has failed."""


class StudyScheduler(FIFOScheduler):
    """Runs trainings in the order proposed, and stops them when the supervisor ends them.

    The observer gets each event after the supervisor's decision. `check_ray` raises `RayDied` where
    Ray has died.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        observer: Observer,
        watchdog: Watchdog,
        slots: Slots,
        check_ray: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._supervisor, self._observer = supervisor, observer
        self._watchdog, self._slots, self._check_ray = watchdog, slots, check_ray
        # The number of nodes that each training lost in a row, without an epoch between.
        self._lost: Counter[str] = Counter()

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Makes Ray retry a training that breaks off exactly as often as the supervisor allows.

        A training whose node is lost continues any number of times, unless it lost
        `MOST_NODES_LOST` in a row, because then it takes its nodes down.
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
        """Reports an epoch to the supervisor, and stops the trial if the supervisor ends it."""
        training, report = Task.from_ray(trial.config).training, read_report(result)
        if isinstance(report, Note):
            self._observer.noted(training, report.text)
            return str(self.CONTINUE)
        self._lost.pop(trial.trial_id, None)
        self._observer.placed(training, report.gpus)
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
        """Continues a training that broke off, or ends it if its retry broke off too.

        Ray also calls this before it tries a trial again, and only then has it marked the trial
        ERROR. Raises `RunError`, which ends the search and leaves the training unfinished, where
        the disk is full, and `RayDied` where all workers end because Ray has died.
        """
        self._check_ray()
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
        """Moves a training to a free slot, of another kind where no node of its own kind is
        left.
        """
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
        """Returns nothing: Ray pickles a tuner to restore it, but a run continues from its
        records.
        """
        return {}


class StudySearcher(Searcher):
    """Passes the supervisor's proposals on to Ray until there are none, and to the observer. The
    scheduler decides about them.
    """

    def __init__(
        self, supervisor: Supervisor, observer: Observer, slots: Slots, files: RunFiles
    ) -> None:
        super().__init__()
        self._supervisor, self._observer = supervisor, observer
        self._slots, self._files = slots, files

    # Ray's own searchers return the text FINISHED too; its annotation leaves it out.
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Returns the next trial's config for the worker, `None` to be asked later, or
        `FINISHED`.
        """
        slot = self._slots.take(trial_id)
        if slot is None:
            return None
        proposal = self._supervisor.propose()
        if proposal is None:
            self._slots.release(trial_id)
            # Ray never asks again after FINISHED, but a user may ask for more while trials run.
            goes_on = self._supervisor.waiting() or self._slots.taken()
            return None if goes_on else self.FINISHED
        for record in self._supervisor.refused():
            self._observer.ended(record)
        self._observer.began(proposal, slot.gpus)
        measure = self._supervisor.unmeasured(proposal.training)
        return self._files.task(proposal, self._slots.place(slot), measure=measure).to_ray()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Releases the trial's slot; the scheduler has reported its end to the supervisor
        already.
        """
        self._slots.release(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Writes an empty file for Ray, because the study's state is in the run directory."""
        Path(checkpoint_path).touch()

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Ray pickles a tuner to restore it, but a run continues from its
        records.
        """
        return {}

    def restore(self, checkpoint_path: str) -> None:
        """Raises `RuntimeError`, because a run is resumed from its own records instead of Ray's."""
        raise RuntimeError("a search is resumed with --resume, not with Tuner.restore")


def _change(trial: Trial, **task: Any) -> None:
    """Changes fields of the task that the trial's next worker gets."""
    changed = replace(Task.from_ray(trial.config), **task)
    trial.set_config(changed.to_ray())  # type: ignore[no-untyped-call]


def _retried(config: TrialConfig, failure: Failure) -> TrialConfig:
    """Returns the configuration to retry: with half as many images at once after a lack of
    memory.
    """
    return halve_micro_batch(config) or config if failure.reason is StopReason.MEMORY else config
