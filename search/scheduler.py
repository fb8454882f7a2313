"""Ray's `TrialScheduler`, over the study: every epoch goes through here, and every failure."""

from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from results.records import EpochMetrics, NetworkCosts
from search.monitor import Monitor
from search.study import Study
from trainables.config import TrialConfig


class StudyScheduler(FIFOScheduler):
    """Runs trials in the order proposed and stops them when the study says so."""

    def __init__(self, study: Study[TrialConfig], monitor: Monitor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._study, self._monitor = study, monitor

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> str:
        """Takes an epoch; also ends trials that are complete, so that all come through here."""
        number, metrics = trial.config["number"], EpochMetrics.from_json(result)
        if "latency_ms" in result:
            self._study.measured(number, NetworkCosts.from_json(result))
            self._monitor.measured(self._study.records[number])
        ending = self._study.report(number, metrics)
        self._monitor.first_step(result["first_step_at"])
        self._monitor.epoch(number, metrics)
        if ending is None:
            return str(self.CONTINUE)
        self._monitor.ended(self._study.records[number])
        return str(self.STOP)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Ends a trial whose retry failed too.

        Ray calls this also before it tries a trial again, and only then has marked it ERROR.
        """
        if trial.status == Trial.ERROR:
            return
        number = trial.config["number"]
        self._study.fail(number, str(trial.get_error() or "the worker ended without a word"))
        self._monitor.ended(self._study.records[number])

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}
