"""Implements Ray's callbacks, which end stalled workers and give observers their ticks."""

from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.util.metrics import Gauge

from results.records import EpochMetrics, TrainingId
from search.ray_backend.heartbeat import Heartbeat
from search.ray_backend.task import Note, SessionEnd, Task, read_report
from search.ray_backend.watchdog import Watchdog
from search.study.observer import Observer


class WatchdogCallback(Callback):
    """Reports to the watchdog what runs and waits, and kills the workers of stalled trainings.

    To Ray such a worker has died, and the scheduler decides about its trial.

    epochs: returns the recorded epochs of a training.
    unserved: called with each training that has waited too long for a worker, and a reason.
    kill: ends a Ray actor.
    """

    def __init__(
        self,
        watchdog: Watchdog,
        epochs: Callable[[TrainingId], Sequence[EpochMetrics]],
        unserved: Callable[[TrainingId, str], object],
        kill: Callable[[Any], object] = ray.kill,
    ) -> None:
        self._watchdog, self._epochs, self._unserved, self._kill = watchdog, epochs, unserved, kill
        self._trials: dict[TrainingId, Trial] = {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Starts to watch a trial, also when it is tried again."""
        self._trials[training_id_of(trial)] = trial
        self._begin(trial)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Records that a training isn't silent; one that waits for images isn't watched."""
        task, report = Task.from_ray(trial.config), read_report(result)
        if not isinstance(report, Note):
            gpus = task.placement.gpus
            self._watchdog.reports(task.training, task.config, gpus, report.metrics)
        elif report.waiting:
            self._watchdog.ends(task.training)
        else:
            self._begin(trial)

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Stops watching a trial that has no worker any more, for whatever reason."""
        self._watchdog.ends(training_id_of(trial))

    on_trial_complete = on_trial_error = on_trial_recover

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Kills the workers of stalled trainings. Ray calls this several times a second."""
        for training in self._watchdog.stalled():
            actor = self._trials[training].temporary_state.ray_actor
            if actor is not None:
                self._kill(actor)
        waiting = [training_id_of(trial) for trial in trials if trial.status == Trial.PENDING]
        for training, reason in self._watchdog.unserved(waiting).items():
            self._unserved(training, reason)

    def _begin(self, trial: Trial) -> None:
        task = Task.from_ray(trial.config)
        epochs_s = [metrics.wall_s for metrics in self._epochs(task.training)]
        self._watchdog.begins(task.training, task.config, task.placement.gpus, epochs_s)

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Ray pickles a tuner to restore it, but a run continues from its
        records.
        """
        return {}


def training_id_of(trial: Trial) -> TrainingId:
    """Returns the training that one of Ray's trials runs."""
    return Task.from_ray(trial.config).training


class TickCallback(Callback):
    """Gives the observer its ticks while trainings run, calls `steer`, which does what a user asks
    of the search, and ends the loop if Ray has died or the time is up.
    """

    def __init__(
        self,
        observer: Observer,
        heartbeat: Heartbeat,
        ending: SessionEnd,
        steer: Callable[[], object] = lambda: None,
    ) -> None:
        self._observer, self._heartbeat, self._ending = observer, heartbeat, ending
        self._steer = steer

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Passes a tick on to the observer, after a look at Ray, for which it raises `RayDied`. Ray
        calls this several times a second, also while nothing arrives.
        """
        self._heartbeat.check()
        self._steer()
        self._ending.check_time()
        self._observer.tick()

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Ray pickles a tuner to restore it, but a run continues from its
        records.
        """
        return {}


def make_gauge(name: str, text: str, labels: tuple[str, ...], fixed: dict[str, str]) -> Gauge:
    """Makes a gauge that Ray exports to Prometheus, with `labels`, some of which are `fixed`."""
    gauge = Gauge(name, text, labels)
    gauge.set_default_tags(fixed)
    return gauge
