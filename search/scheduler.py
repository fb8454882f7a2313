"""Ray's `TrialScheduler`, over the study: every epoch goes through here, and every failure."""

from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from results.records import EpochMetrics
from search.breakdowns import breakdown
from search.monitor import Monitor
from search.study import Study
from trainables.config import TrialConfig
from trainables.micro_batches import smaller


class StudyScheduler(FIFOScheduler):
    """Runs trials in the order proposed and stops them when the study says so."""

    def __init__(self, study: Study[TrialConfig], monitor: Monitor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._study, self._monitor = study, monitor

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Has Ray try a trial that breaks off again just as often as the study would."""
        super().on_trial_add(tune_controller, trial)
        again = self._study.may_retry(trial.config["number"])
        trial.max_failures = trial.num_failures + int(again)

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> str:
        """Takes an epoch; also ends trials that are complete, so that all come through here."""
        number, metrics = trial.config["number"], EpochMetrics.from_json(result)
        ending = self._study.report(number, metrics)
        self._monitor.first_step(result["first_step_at"])
        self._monitor.epoch(number, metrics)
        if ending is None:
            return str(self.CONTINUE)
        self._monitor.ended(self._study.records[number])
        return str(self.STOP)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Has a trial that broke off go on, after want of memory with half as many images at once;
        or ends it where its retry broke off too.

        Ray calls this also before it tries a trial again, and only then has marked it ERROR.
        """
        number, found = trial.config["number"], breakdown(trial)
        if trial.status != Trial.ERROR:
            self._study.fail(number, found.error, out_of_memory=found.out_of_memory)
            self._monitor.ended(self._study.records[number])
            return
        config = TrialConfig.from_dict(trial.config["config"])
        if found.out_of_memory:
            config = smaller(config) or config
        again = self._study.retry(number, found.error, config)
        changed = {"config": again.config.to_dict(), "epochs_done": again.epochs_done}
        trial.set_config(trial.config | changed)  # type: ignore[no-untyped-call]
        self._monitor.retried(again, self._study.records[number])

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}
