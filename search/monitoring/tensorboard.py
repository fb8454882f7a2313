"""Writes TensorBoard's event files from the records of a run, with one folder for each trial."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from common.background import BackgroundWorker
from results.records import EpochMetrics, TrainingId, TrainingRecord
from search.monitoring.progress import Progress
from search.monitoring.training_progress import TrainingProgress
from search.study.observer import Observer

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

FOLDER = "tensorboard"
"""The event files lie in the run's folder `tensorboard/`."""

SCALARS = {
    "val/top1": "val_top1",
    "val/top5": "val_top5",
    "val/loss": "val_loss",
    "val/probability": "val_probability",
    "train/top1": "train_top1",
    "train/loss": "train_loss",
    "gap": "gap",
    "lr": "lr",
    "speed/images_per_s": "images_per_s",
    "speed/epoch_s": "wall_s",
}
"""TensorBoard shows these tags, each with the values of a field of `EpochMetrics`."""


BEST = "best/val_top1"
"""TensorBoard's page of hyperparameters shows a trial's val_top1 after its last epoch under this
tag.
"""


class TensorBoard(Observer):
    """Writes event files into the run's folder, in a background thread. The observer that updates
    `progress` must come before this one.

    When a run is resumed, `start` writes the files anew from the records, so that nothing is
    duplicated, and nothing is missing where an earlier session was killed or wrote no files.
    """

    def __init__(self, directory: Path, progress: Progress, warn: Callable[[str], object]) -> None:
        self._folder = directory / FOLDER
        self._writers: dict[str, SummaryWriter] = {}
        self._progress = progress
        self._background = BackgroundWorker("TensorBoard", warn)

    def start(self) -> None:
        """Starts the background thread, which first writes what is known already."""
        known = [(each, list(each.metrics)) for each in self._progress.trainings.values()]
        self._background.do(lambda: self._recall(known))
        self._background.start()

    def _recall(self, known: list[tuple[TrainingProgress, list[EpochMetrics]]]) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        for training, epochs in known:
            for metrics in epochs:
                self._write(_folder_of(training), metrics)
            if training.params:
                self._end(training)

    def __str__(self) -> str:
        return "TensorBoard"

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        """Writes the metrics of a new epoch into the training's folder."""
        if new:
            name = _folder_of(self._progress.trainings[training])
            self._background.do(lambda: self._write(name, metrics))

    def ended(self, record: TrainingRecord) -> None:
        """Writes the training's parameters and its last val_top1, in the background."""
        training = self._progress.trainings[record.training]
        self._background.do(lambda: self._end(training))

    def closed(self) -> None:
        """Closes all files and ends the background thread."""
        self._background.do(self._close)
        self._background.close()

    def _write(self, name: str, metrics: EpochMetrics) -> None:
        if name not in self._writers:
            from tensorboardX import SummaryWriter

            self._writers[name] = SummaryWriter(
                str(self._folder / name), write_to_disk=True, flush_secs=10
            )
        for tag, field in SCALARS.items():
            if (value := getattr(metrics, field)) is not None:
                self._writers[name].add_scalar(tag, value, metrics.epoch)

    def _end(self, training: TrainingProgress) -> None:
        writer = self._writers.pop(_folder_of(training), None)
        if writer is None:
            return
        best = training.last_val_top1
        if best is not None and training.params:
            from tensorboardX.summary import hparams

            values = {key: value for key, value in training.params.items() if value is not None}
            for summary in hparams(values, {BEST: best}):
                writer.file_writer.add_summary(summary)
            writer.add_scalar(BEST, best, len(training.metrics))
        writer.close()

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()


def _folder_of(training: TrainingProgress) -> str:
    return training.training.name(baseline=training.baseline)
