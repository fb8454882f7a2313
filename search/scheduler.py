"""Ray's `TrialScheduler`, over the study: every epoch goes through here, and every failure."""

from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from results.finalists import Repeat
from results.records import EpochMetrics, NetworkCosts
from search.finalists import Finalists
from search.monitor import Monitor
from search.study import Study
from trainables.config import TrialConfig


class StudyScheduler(FIFOScheduler):
    """Runs trials in the order proposed and stops them when the study says so.

    A trial whose config has a `repeat` is a finalist's training, over which `finalists` decides.
    """

    def __init__(self, study: Study[TrialConfig], finalists: Finalists, monitor: Monitor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._study, self._finalists, self._monitor = study, finalists, monitor

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> str:
        """Takes an epoch; also ends trials that are complete, so that all come through here."""
        number, metrics = trial.config["number"], EpochMetrics.from_json(result)
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

    def _on_finalist_result(self, key: Repeat, metrics: EpochMetrics) -> str:
        ending = self._finalists.report(key, metrics)
        self._monitor.epoch(key[0], metrics, repeat=key[1])
        if ending is None:
            return str(self.CONTINUE)
        self._monitor.finalist_ended(self._finalists.records[key])
        return str(self.STOP)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Ends a trial whose retry failed too.

        Ray calls this also before it tries a trial again, and only then has marked it ERROR.
        """
        if trial.status == Trial.ERROR:
            return
        number, error = trial.config["number"], trial.get_error()
        said = str(error or "the worker ended without a word")
        if repeat := trial.config["repeat"]:
            self._finalists.fail((number, repeat), said)
            self._monitor.finalist_ended(self._finalists.records[number, repeat])
            return
        self._study.fail(number, said)
        self._monitor.ended(self._study.records[number])

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}
