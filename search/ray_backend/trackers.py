"""Exports trials to MLflow and to Weights & Biases, through Ray's own integrations."""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ray.tune.logger import LoggerCallback

from common.background import BackgroundWorker
from common.errors import SearchError
from common.text import last_lines, redacted_values
from results.records import EpochMetrics, TrainingId, TrainingRecord, TrialState
from search.study.observer import Observer
from search.study.proposer import Proposal
from trainables.config import TrialConfig

Logger = LoggerCallback
"""Ray's integrations are of this type."""

UPLOAD_S = 60
"""The end of a search waits this many seconds for Weights & Biases."""


@dataclass(frozen=True, kw_only=True)
class TrackedTrial:
    """Shows a training to the integrations as one of Tune's trials, under a name for people.

    Two are equal if their `trial_id` is, which stays the same when a run is resumed.
    """

    trial_id: str
    name: str = field(compare=False)
    local_path: str = field(compare=False)
    experiment_dir_name: str = field(compare=False)
    config: dict[str, Any] = field(compare=False)

    def __str__(self) -> str:
        return self.name


class Tracker(Observer):
    """Passes trainings on to an integration, each epoch once, in a thread of its own.

    Nothing is sent twice, so after a kill the last epochs may be missing. Configurations are sent
    without secrets.

    identity: identifies the run, even among runs of the same name.
    """

    def __init__(
        self,
        logger: Logger,
        search: str,
        identity: str,
        directory: Path,
        warn: Callable[[str], object],
    ) -> None:
        self._logger, self._search, self._identity = logger, search, identity
        self._directory = directory
        self._seen: dict[TrainingId, Any] = {}  # `TrackedTrial`, where Ray would have a `Trial`
        self._background = BackgroundWorker(str(logger), warn)

    def start(self) -> None:
        """Starts the thread that passes events on to the integration."""
        self._background.start()

    def __str__(self) -> str:
        return str(self._logger)

    def began(self, proposal: Proposal[TrialConfig], gpus: float) -> None:
        """Begins a run for the training, or reopens the one that it had before a break."""
        seen = self._seen.setdefault(proposal.training, self._view(proposal))
        self._background.do(partial(self._logger.log_trial_start, seen))

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        """Passes on the metrics of a new epoch."""
        if not new:
            return
        known = {k: v for k, v in asdict(metrics).items() if v is not None}
        result = known | {"training_iteration": metrics.epoch}
        logger, seen = self._logger, self._seen[training]
        self._background.do(partial(logger.log_trial_result, metrics.epoch, seen, result))

    def ended(self, record: TrainingRecord) -> None:
        """Ends the training's run; one that failed is marked as such."""
        seen = self._seen.pop(record.training, None)
        if seen is not None:
            failed = record.state is TrialState.FAILED
            self._background.do(partial(self._logger.log_trial_end, seen, failed))

    def closed(self) -> None:
        """Ends all runs, also those of unfinished trainings."""
        for seen in self._seen.values():
            self._background.do(partial(self._logger.log_trial_end, seen, False))
        self._background.do(partial(self._logger.on_experiment_end, []))
        self._background.close()

    def _view(self, proposal: Proposal[TrialConfig]) -> TrackedTrial:
        return TrackedTrial(
            trial_id=f"{self._identity}-{proposal.training}",
            name=proposal.training.name(baseline=proposal.baseline),
            local_path=str(self._directory),
            experiment_dir_name=self._search,
            config=redacted_values(proposal.config.to_dict()),
        )


def open_loggers(mlflow: str, wandb: str, search: str, directory: Path) -> list[Logger]:
    """Connects the integrations that the options name. Raises `SearchError` where one can't be
    used.
    """
    made: list[Logger] = []
    for option, value, opening in (("mlflow", mlflow, _mlflow), ("wandb", wandb, _wandb)):
        if not value:
            continue
        try:
            made.append(opening(value, search, directory))
            made[-1].setup()
        except Exception as error:  # of packages that raise errors of their own
            reason = last_lines(f"{type(error).__name__}: {error}")
            raise SearchError(
                [f"--{option} {value} can't be used ({reason}); check it, or pass --{option} ''."]
            ) from error
    return made


def _mlflow(address: str, search: str, _directory: Path) -> Logger:
    # Otherwise a server that isn't there is asked for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    class MLflow(MLflowLoggerCallback):
        """Fills an experiment named after the search, with a run for each training.

        Ray's own class begins a new run for each trial that it starts, unless `_trial_runs` holds
        one (ray 2.60.0).
        """

        def __str__(self) -> str:
            return "MLflow"

        def log_trial_start(self, trial: Any) -> None:
            """Reopens the run of a training that has one already, or begins one."""
            from mlflow.tracking import MlflowClient

            client, tag = MlflowClient(tracking_uri=address), f"tags.training = '{trial.trial_id}'"
            found = client.search_runs([str(self.mlflow_util.experiment_id)], tag)
            if found:
                self._trial_runs[trial] = found[0].info.run_id
                client.update_run(found[0].info.run_id, status="RUNNING")
            else:
                self.tags = {"search": search, "training": trial.trial_id}
                super().log_trial_start(trial)

    return MLflow(tracking_uri=address, experiment_name=search)


def _wandb(project: str, search: str, directory: Path) -> Logger:
    from ray.air.integrations.wandb import WandbLoggerCallback

    class Wandb(WandbLoggerCallback):
        """Fills a group named after the search, with a run for each training."""

        def __str__(self) -> str:
            return "Weights & Biases"

        def on_experiment_end(self, trials: Any, **info: Any) -> None:
            """Waits for uploads, if there are some: Ray 2.60.0 fails where there are none."""
            if self._trial_logging_futures:
                super().on_experiment_end(trials, **info)

    entity, _, name = project.rpartition("/")
    # Ray's own folder for a trial is gone with the search.
    more: dict[str, Any] = {"dir": str(directory.resolve()), "resume": "allow"}
    if entity:
        more["entity"] = entity
    return Wandb(project=name, group=search, upload_timeout=UPLOAD_S, **more)
