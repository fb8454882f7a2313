"""Ray's `Callback`, over the watchdog: ends the worker of a training that stalls."""

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.util.metrics import Gauge

from search.monitoring.progress import Progress
from search.monitoring.prometheus import LABELS, METRICS, readings
from search.ray_backend.watchdog import TrainingId, Watchdog


class WatchdogCallback(Callback):
    """Tells the watchdog what runs, and kills what it finds stalled.

    To Ray such a worker has died. What becomes of its trial is the scheduler's, as ever.
    seconds: what each recorded epoch of a training took.
    """

    def __init__(self, watchdog: Watchdog, seconds: Callable[[TrainingId], list[float]]) -> None:
        self._watchdog, self._seconds = watchdog, seconds
        self._trials: dict[TrainingId, Trial] = {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Also when a trial is tried again."""
        training = training_id_of(trial)
        self._trials[training] = trial
        self._watchdog.begins(training, self._seconds(training))

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """An epoch, also one that is recorded already. While it waits for images nobody watches."""
        training = training_id_of(trial)
        if "note" not in result:
            self._watchdog.reports(training, result["wall_s"])
        elif result["waiting"]:
            self._watchdog.ends(training)
        else:
            self._watchdog.begins(training, self._seconds(training))

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """It broke off and waits for another worker."""
        self._watchdog.ends(training_id_of(trial))

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._watchdog.ends(training_id_of(trial))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._watchdog.ends(training_id_of(trial))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Several times a second."""
        for training in self._watchdog.stalled():
            actor = self._trials[training].temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}


def training_id_of(trial: Trial) -> TrainingId:
    """What a trial of Ray's trains."""
    return trial.config["number"], trial.config["repeat"]


EXPORT_EVERY_S = 5.0
"""Ray passes values on every 10 s, and forgets those that weren't told again since (2.60.0)."""


class MetricsExporter(Callback):
    """Tells the values of now, every few seconds."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._next = progress, 0.0
        common = dict(zip(LABELS, (progress.limits.title, progress.limits.space), strict=True))
        self._gauges = {
            name: Gauge(name, metric.text, (*LABELS, *metric.labels)).set_default_tags(common)
            for name, metric in METRICS.items()
        }

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Several times a second."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EXPORT_EVERY_S
            self.tell()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """The last values."""
        self.tell()

    def tell(self) -> None:
        """All values of now."""
        for each in readings(self._progress):
            labels = dict(zip(METRICS[each.name].labels, each.labels, strict=True))
            self._gauges[each.name].set(each.value, tags=labels)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}
