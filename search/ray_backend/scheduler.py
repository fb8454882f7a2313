"""Ray's `TrialScheduler`, over the study: every epoch goes through here, and every failure."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from results.finalist_store import RepeatId
from results.records import EpochMetrics, NetworkCosts, StopReason
from results.store import RunError
from search.monitoring.monitor import Monitor
from search.ray_backend.failures import Failure, read_failure
from search.ray_backend.slots import Slots
from search.ray_backend.watchdog import Watchdog
from search.ray_backend.worker import resource_request
from search.study.finalists import Finalists
from search.study.study import Study
from trainables.config import TrialConfig
from trainables.training.micro_batches import halve_micro_batch

MOST_NODES_LOST = 3
"""So many in a row, without an epoch between, and the next one counts as the training's failure."""


class StudyScheduler(FIFOScheduler):
    """Runs trials in the order proposed and stops them when the study says so.

    A trial whose config has a `repeat` is a finalist's training, over which `finalists` decides.
    """

    def __init__(
        self,
        study: Study[TrialConfig],
        finalists: Finalists,
        monitor: Monitor,
        watchdog: Watchdog,
        slots: Slots,
        on_epoch: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._study, self._finalists, self._monitor = study, finalists, monitor
        self._watchdog, self._slots, self._on_epoch = watchdog, slots, on_epoch
        # Of each training, how many nodes it lost one after the other, without an epoch between.
        self._lost: Counter[str] = Counter()

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Has Ray try a trial that breaks off again just as often as the study would.

        One whose node is lost goes on however often, but for a training that takes its nodes down.
        """
        super().on_trial_add(tune_controller, trial)
        if not trial.config["repeat"]:
            again = self._study.may_retry(trial.config["number"])
            trial.max_failures = trial.num_failures + int(again)
        if self._lost[trial.trial_id] >= MOST_NODES_LOST:
            trial.run_metadata.num_failures += 1  # below 0 the limit would be none
            trial.max_failures = trial.num_failures - 1

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> str:
        """Takes an epoch; also ends trials that are complete, so that all come through here."""
        if "note" in result:
            self._monitor.note(trial.config["number"], trial.config["repeat"], result["note"])
            return str(self.CONTINUE)
        self._on_epoch()
        number, metrics = trial.config["number"], EpochMetrics.from_json(result)
        self._lost.pop(trial.trial_id, None)
        self._monitor.first_step(result["first_step_at"])
        if repeat := trial.config["repeat"]:
            return self._on_finalist_result((number, repeat), metrics)
        if "latency_ms" in result:
            self._study.measured(number, NetworkCosts.from_json(result))
            self._monitor.measured(self._study.records[number])
        ending = self._study.report(number, metrics)
        self._monitor.epoch(number, metrics)
        if ending is None:
            return str(self.CONTINUE)
        self._monitor.ended(self._study.records[number])
        return str(self.STOP)

    def _on_finalist_result(self, key: RepeatId, metrics: EpochMetrics) -> str:
        ending = self._finalists.report(key, metrics)
        self._monitor.epoch(key[0], metrics, repeat=key[1])
        if ending is None:
            return str(self.CONTINUE)
        self._monitor.finalist_ended(self._finalists.records[key])
        return str(self.STOP)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Has a training that broke off go on, or ends it where its retry broke off too.

        Ray calls this also before it tries a trial again, and only then has marked it ERROR.
        Raises `RunError`, which ends the search, where the disk takes nothing more: the training
        stays unfinished then.
        """
        number, repeat, found = trial.config["number"], trial.config["repeat"], read_failure(trial)
        if found.refusal:
            raise RunError(found.refusal)
        if stalled := self._watchdog.reason((number, repeat)):
            found = Failure(error=stalled, reason=StopReason.STALLED)
        if trial.status == Trial.ERROR:
            if found.node_lost:
                self._move(trial)
            elif repeat:
                self._change(trial, config=_retried(trial, found).to_dict())
            else:
                self._retry(trial, found)
        elif repeat:
            self._finalists.fail((number, repeat), found.error, found.reason)
            self._monitor.finalist_ended(self._finalists.records[number, repeat])
        else:
            self._study.fail(number, found.error, found.reason)
            self._monitor.ended(self._study.records[number])

    def _move(self, trial: Trial) -> None:
        """To a slot that is there, of another kind where no node of its own kind is left."""
        number, repeat = trial.config["number"], trial.config["repeat"]
        self._lost[trial.trial_id] += 1
        done = len(self._finalists.epochs[number, repeat] if repeat else self._study.epochs[number])
        self._change(
            trial, epochs_done=done, **self._slots.place(self._slots.again(trial.trial_id))
        )
        trial.update_resources(resource_request(trial.config))
        self._monitor.moved(number, repeat, done)

    def _retry(self, trial: Trial, found: Failure) -> None:
        again = self._study.retry(trial.config["number"], found.error, _retried(trial, found))
        self._change(
            trial,
            config=again.config.to_dict(),
            epochs_done=again.epochs_done,
            measure=self._study.unmeasured(again.number),
        )
        self._monitor.retried(again, self._study.records[again.number])

    def _change(self, trial: Trial, **task: Any) -> None:
        """What its next worker is told."""
        trial.set_config(trial.config | task)  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}


def _retried(trial: Trial, found: Failure) -> TrialConfig:
    """What is tried again: after want of memory, with half as many images at once."""
    config = TrialConfig.from_dict(trial.config["config"])
    return halve_micro_batch(config) or config if found.reason is StopReason.MEMORY else config
