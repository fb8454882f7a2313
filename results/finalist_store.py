"""Reads and writes the finalists' files in a run directory: the states of their trainings with
fresh seeds, and the epochs of these trainings.

A training is identified by its `TrainingId`, whose repeat is never `None` here.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from common.errors import RecordError
from common.files import write_text_atomically
from common.json_records import to_json
from common.text import redacted
from results.jsonl import LineFiles, Lines, read_records, read_whole_number
from results.records import EpochMetrics, FinalistRecord, TrainingId
from results.run_hints import restore_hint
from results.store import (
    FINALIST_EPOCHS,
    FINALISTS,
    checkpoint_path,
    find_chain_start,
    find_lines,
    traceback_path,
)


def read_finalists(directory: Path, lines: Lines | None = None) -> dict[TrainingId, FinalistRecord]:
    """Returns the latest record of every training in the order of planning, from the file's `lines`
    where they have been read; there are none if no finalists ran.
    """
    remedy = partial(restore_hint, directory)
    lines = lines or find_lines(directory, FINALISTS)
    return dict(read_records(directory / FINALISTS, _read_finalist, lines, remedy))


def read_finalist_epochs(
    directory: Path, lines: Lines | None = None
) -> Iterator[tuple[TrainingId, EpochMetrics]]:
    """Yields (training, metrics) of every recorded epoch, in the order of recording, from the
    file's `lines` where they have been read.
    """
    yield from read_records(
        directory / FINALIST_EPOCHS,
        lambda value: (_read_training(value), EpochMetrics.from_json(value)),
        lines or find_lines(directory, FINALIST_EPOCHS),
        partial(restore_hint, directory),
    )


def _read_finalist(value: dict[str, Any]) -> tuple[TrainingId, FinalistRecord]:
    record = FinalistRecord.from_json(value)
    return _read_training(value), record


def _read_training(value: dict[str, Any]) -> TrainingId:
    """Returns the training that a line belongs to. Raises `RecordError`."""
    trial, repeat = read_whole_number(value, "trial"), read_whole_number(value, "repeat")
    try:
        return TrainingId(trial, repeat)
    except ValueError as error:
        raise RecordError(str(error)) from error


class FinalistStore:
    """Writes one run's finalists while the run's `RunStore` is open.

    Each file is created when its first line is written. `dropped` is called with the file name of
    each checkpoint that is removed, so that its copies can be removed too. `stamp` returns what an
    epoch's line says of the session, and `files` writes the lines, as those of `RunStore` do.
    """

    def __init__(
        self,
        directory: Path,
        dropped: Callable[[str], object] | None = None,
        stamp: Callable[[], str] = lambda: '"session":0',
        files: LineFiles | None = None,
    ) -> None:
        self.directory, self._dropped, self._stamp = directory, dropped, stamp
        self._files = files or LineFiles(directory, find_chain_start(directory) or "", ())

    def records(self) -> dict[TrainingId, FinalistRecord]:
        """Returns the latest record of every training of this run, as `read_finalists` does."""
        return read_finalists(self.directory)

    def epochs(self) -> Iterable[tuple[TrainingId, EpochMetrics]]:
        """Yields the recorded epochs of this run's finalists, as `read_finalist_epochs` does."""
        return read_finalist_epochs(self.directory)

    def add(self, record: FinalistRecord) -> None:
        """Appends a training's new state and flushes it to the disk."""
        self._files.open(FINALISTS).append(to_json(record))

    def add_epoch(self, training: TrainingId, metrics: EpochMetrics) -> None:
        """Appends one epoch of a training and flushes it to the disk."""
        number, repeat = training.number, training.repeat
        line = f'{{"trial":{number},"repeat":{repeat},{self._stamp()},{to_json(metrics)[1:]}'
        self._files.open(FINALIST_EPOCHS).append(line)

    def checkpoint(self, training: TrainingId) -> Path:
        """Returns the path at which the unfinished `training` saves its checkpoint."""
        return checkpoint_path(self.directory, training)

    def drop_checkpoint(self, training: TrainingId) -> None:
        """Removes the checkpoint of the ended `training`, if there is one."""
        path = self.checkpoint(training)
        path.unlink(missing_ok=True)
        if self._dropped:
            self._dropped(path.name)

    def add_error(self, training: TrainingId, text: str) -> None:
        """Writes the complete traceback of a failed training to `errors/`, with its secrets
        redacted.
        """
        path = traceback_path(self.directory, training)
        path.parent.mkdir(exist_ok=True)
        write_text_atomically(path, redacted(text))

    def close(self) -> None:
        """Closes the files. Every record was flushed when it was added, so that closing saves
        nothing more.
        """
        self._files.close()
