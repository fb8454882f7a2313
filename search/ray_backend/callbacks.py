"""Ray's `Callback`, over the watchdog: ends the worker of a training that stalls."""

from collections.abc import Callable
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from search.ray_backend.watchdog import Training, Watchdog


class StallCallback(Callback):
    """Tells the watchdog what runs, and kills what it finds stalled.

    To Ray such a worker has died. What becomes of its trial is the scheduler's, as ever.
    seconds: what each recorded epoch of a training took.
    """

    def __init__(self, watchdog: Watchdog, seconds: Callable[[Training], list[float]]) -> None:
        self._watchdog, self._seconds = watchdog, seconds
        self._trials: dict[Training, Trial] = {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Also when a trial is tried again."""
        training = training_of(trial)
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
        training = training_of(trial)
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
        self._watchdog.ends(training_of(trial))

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._watchdog.ends(training_of(trial))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._watchdog.ends(training_of(trial))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Several times a second."""
        for training in self._watchdog.stalled():
            actor = self._trials[training].temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}


def training_of(trial: Trial) -> Training:
    """What a trial of Ray's trains."""
    return trial.config["number"], trial.config["repeat"]
