"""Trials in MLflow and in Weights & Biases, through Ray's own integrations."""

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
from search.study.proposal import Proposal
from trainables.config import TrialConfig

Logger = LoggerCallback
"""What Ray's integrations are."""

UPLOAD_S = 60
"""So long the end of a search waits for Weights & Biases."""


@dataclass(frozen=True, kw_only=True)
class TrackedTrial:
    """A training as the integrations look at one of Tune's trials, under a name for people.

    Two are the same where their `trial_id` is, which a run keeps when it goes on.
    """

    trial_id: str
    name: str = field(compare=False)
    local_path: str = field(compare=False)
    experiment_dir_name: str = field(compare=False)
    config: dict[str, Any] = field(compare=False)

    def __str__(self) -> str:
        return self.name


class Tracker(Observer):
    """An `Observer` that hands on what it is told, each epoch once, beside the search.

    What was lost on the way isn't handed on again: after a kill the last epochs may be missing.
    Of configurations secrets are left out. identity: of the run, also where names repeat.
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
        """Starts the thread that hands on what the tracker is told."""
        self._background.start()

    def __str__(self) -> str:
        return str(self._logger)

    def began(self, proposal: Proposal[TrialConfig], gpus: float) -> None:
        """Begins a run for the training, or opens the one that it had before a break."""
        seen = self._seen.setdefault(proposal.training, self._view(proposal))
        self._background.do(partial(self._logger.log_trial_start, seen))

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        """Hands on a new epoch's metrics."""
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
        """Ends runs that are cut short, too."""
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
    """The integrations asked for, connected. Raises `SearchError` for one that can't be used."""
    made: list[Logger] = []
    for option, value, opening in (("mlflow", mlflow, _mlflow), ("wandb", wandb, _wandb)):
        if not value:
            continue
        try:
            made.append(opening(value, search, directory))
            made[-1].setup()
        except Exception as error:  # of packages that raise errors of their own
            said = last_lines(f"{type(error).__name__}: {error}")
            raise SearchError([f"--{option} {value} can't be used: {said}"]) from error
    return made


def _mlflow(address: str, search: str, _directory: Path) -> Logger:
    # Otherwise a server that isn't there is asked for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    class MLflow(MLflowLoggerCallback):
        """An experiment of the search's name, with a run for each training.

        Ray's own begins a new run for each trial that it starts: whose run was begun already, it
        knows from `_trial_runs` alone (ray 2.60.0).
        """

        def __str__(self) -> str:
            return "MLflow"

        def log_trial_start(self, trial: Any) -> None:
            """A training that goes on has its run already, with its parameters."""
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
        """A group of the search's name, with a run for each training."""

        def __str__(self) -> str:
            return "Weights & Biases"

        def on_experiment_end(self, trials: Any, **info: Any) -> None:
            """Waits for uploads, where there are some: Ray 2.60.0 can't wait for none."""
            if self._trial_logging_futures:
                super().on_experiment_end(trials, **info)

    entity, _, name = project.rpartition("/")
    # Ray's own folder for a trial is gone with the search.
    more: dict[str, Any] = {"dir": str(directory.resolve()), "resume": "allow"}
    if entity:
        more["entity"] = entity
    return Wandb(project=name, group=search, upload_timeout=UPLOAD_S, **more)
