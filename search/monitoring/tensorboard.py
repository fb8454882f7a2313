"""TensorBoard's event files, one folder a trial, as they follow from the run's records."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from results.records import EpochMetrics, training_name
from search.monitoring.background import BackgroundWorker
from search.monitoring.progress import Progress, TrainingProgress

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

FOLDER = "tensorboard"

SCALARS = {
    "val/top1": "val_top1",
    "val/top5": "val_top5",
    "val/loss": "val_loss",
    "train/top1": "train_top1",
    "train/loss": "train_loss",
    "gap": "gap",
    "lr": "lr",
    "speed/images_per_s": "images_per_s",
    "speed/epoch_s": "wall_s",
}
"""Tags, and the fields of an epoch that they show."""


BEST = "best/val_top1"
"""The tag of what a trial reached, for the page of hyperparameters."""


class TensorBoard:
    """A `TrialLogger` that writes to the run's folder.

    `start` makes the files anew from the records when a run goes on: so nothing is there twice,
    and nothing is missing after a kill, or where earlier sessions wrote none.
    """

    def __init__(self, directory: Path, progress: Progress, warn: Callable[[str], object]) -> None:
        self._folder = directory / FOLDER
        self._writers: dict[str, SummaryWriter] = {}
        self._background = BackgroundWorker("TensorBoard", warn)
        self._progress = progress

    def start(self) -> None:
        """Begins to write, first what is known already."""
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

    def began(self, training: TrainingProgress) -> None:
        """Nothing yet: a folder comes with its first epoch."""

    def trained(self, training: TrainingProgress) -> None:
        """A new epoch."""
        name, metrics = _folder_of(training), training.metrics[-1]
        self._background.do(lambda: self._write(name, metrics))

    def ended(self, training: TrainingProgress) -> None:
        """Its parameters, beside what it reached."""
        self._background.do(lambda: self._end(training))

    def close(self) -> None:
        """All files are whole."""
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
        if training.best and training.params:
            from tensorboardX.summary import hparams

            values = {key: value for key, value in training.params.items() if value is not None}
            best = training.best.val_top1
            for summary in hparams(values, {BEST: best}):
                writer.file_writer.add_summary(summary)
            writer.add_scalar(BEST, best, training.best.epoch)
        writer.close()

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()


def _folder_of(training: TrainingProgress) -> str:
    return training_name(training.number, training.repeat, baseline=training.baseline)
