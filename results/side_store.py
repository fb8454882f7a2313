"""Reads and writes the files beside those of the trials in a run directory: of the finalists'
trainings with fresh seeds, of the short ones of the screening, and of what a user has changed while
the search ran. For each kind of trainings there is a file of their states and one of their epochs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from common.errors import RecordError
from common.files import write_text_atomically
from common.json_records import JsonRecord, to_json
from common.text import redacted
from results.jsonl import LineFiles, Lines, read_records, read_whole_number
from results.records import EpochMetrics, FinalistRecord, ScreeningRecord, TrainingId
from results.run_hints import restore_hint
from results.store import (
    FINALIST_EPOCHS,
    FINALISTS,
    SCREENING,
    SCREENING_EPOCHS,
    STEERING,
    checkpoint_path,
    find_chain_start,
    find_lines,
    traceback_path,
)

R = TypeVar("R", FinalistRecord, ScreeningRecord)


@dataclass(frozen=True, kw_only=True, slots=True)
class SideFiles(Generic[R]):
    """Describes the two files of one kind of trainings: their names, the type of their records, and
    the keys by which a line names its training. `training` makes the name from these keys' values.
    """

    states: str
    epochs: str
    record: type[R]
    keys: tuple[str, ...]
    training: Callable[..., TrainingId]

    def read(self, directory: Path, lines: Lines | None = None) -> dict[TrainingId, R]:
        """Returns the latest record of every training in the order of planning, from the file's
        `lines` where they have been read; there are none if no such training ran.
        """
        lines, remedy = (
            lines or find_lines(directory, self.states),
            partial(restore_hint, directory),
        )
        return dict(read_records(directory / self.states, self._read, lines, remedy))

    def read_epochs(
        self, directory: Path, lines: Lines | None = None
    ) -> Iterator[tuple[TrainingId, EpochMetrics]]:
        """Yields (training, metrics) of every recorded epoch, in the order of recording, from the
        file's `lines` where they have been read.
        """
        yield from read_records(
            directory / self.epochs,
            lambda value: (self._name(value), EpochMetrics.from_json(value)),
            lines or find_lines(directory, self.epochs),
            partial(restore_hint, directory),
        )

    def _read(self, value: dict[str, Any]) -> tuple[TrainingId, R]:
        record = self.record.from_json(value)
        return self._name(value), record

    def _name(self, value: dict[str, Any]) -> TrainingId:
        """Returns the training that a line belongs to. Raises `RecordError`."""
        numbers = [read_whole_number(value, key) for key in self.keys]
        try:
            return self.training(*numbers)
        except ValueError as error:
            raise RecordError(str(error)) from error

    def start_line(self, training: TrainingId) -> str:
        """Returns the beginning of a line on an epoch, which names its training."""
        values = (training.number, training.repeat)
        return "{" + ",".join(f'"{key}":{v}' for key, v in zip(self.keys, values, strict=False))


FINALIST_FILES = SideFiles(
    states=FINALISTS,
    epochs=FINALIST_EPOCHS,
    record=FinalistRecord,
    keys=("trial", "repeat"),
    training=TrainingId,
)
SCREENING_FILES = SideFiles(
    states=SCREENING,
    epochs=SCREENING_EPOCHS,
    record=ScreeningRecord,
    keys=("number",),
    training=partial(TrainingId, screening=True),
)
"""The files of finalists and of the screening are described by these two."""


class SideStore(Generic[R]):
    """Writes one run's trainings of one kind while the run's `RunStore` is open.

    Each file is created when its first line is written. `dropped` is called with the file name of
    each checkpoint that is removed, so that its copies can be removed too. `stamp` returns what an
    epoch's line says of the session, and `lines` writes the lines, as those of `RunStore` do.
    """

    def __init__(
        self,
        kind: SideFiles[R],
        directory: Path,
        dropped: Callable[[str], object] | None = None,
        stamp: Callable[[], str] = lambda: '"session":0',
        lines: LineFiles | None = None,
    ) -> None:
        self.kind: SideFiles[R] = kind
        self.directory, self._dropped, self._stamp = directory, dropped, stamp
        self._lines = lines or LineFiles(directory, find_chain_start(directory) or "", ())

    def records(self) -> dict[TrainingId, R]:
        """Returns the latest record of every training of this run, as `SideFiles.read` does."""
        return self.kind.read(self.directory)

    def epochs(self) -> Iterable[tuple[TrainingId, EpochMetrics]]:
        """Yields the recorded epochs of these trainings, as `SideFiles.read_epochs` does."""
        return self.kind.read_epochs(self.directory)

    def add(self, record: R) -> None:
        """Appends a training's new state and flushes it to the disk."""
        self._lines.open(self.kind.states).append(to_json(record))

    def add_epoch(self, training: TrainingId, metrics: EpochMetrics) -> None:
        """Appends one epoch of a training and flushes it to the disk."""
        line = f"{self.kind.start_line(training)},{self._stamp()},{to_json(metrics)[1:]}"
        self._lines.open(self.kind.epochs).append(line)

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
        self._lines.close()


ENDED_BY_HAND = "the search was ended by hand"
"""A session that a user has ended has this reason in the manifest, and so has the record of a trial
that this cut short.
"""


class SteeringAction(StrEnum):
    """Names what a user may ask of a running search."""

    STOP = "stop"
    TRY = "try"
    BUDGET = "budget"
    CONCURRENCY = "concurrency"
    END = "end"


@dataclass(frozen=True, kw_only=True, slots=True)
class SteeringRecord(JsonRecord):
    """Holds one change that a user has made to a running search.

    `words` are the user's, `answer` is what the search replied, `at` the date in ISO 8601 and UTC,
    and `session` with `session_s` the session, from 1, and its seconds. `trial` is the trial that
    stops, after its epoch `epoch`, or the one that tries the `params`. Of the limits, the changed
    ones hold the new values: the number of `trials`, the time budget `time_s` in seconds, the
    `gpu_hours`, and the number `at_once` of trials at the same time.
    """

    action: SteeringAction
    words: str
    answer: str
    at: str
    session: int
    session_s: float
    trial: int | None = None
    epoch: int | None = None
    params: dict[str, Any] | None = None
    trials: int | None = None
    time_s: float | None = None
    gpu_hours: float | None = None
    at_once: int | None = None


def read_steering(directory: Path, lines: Lines | None = None) -> list[SteeringRecord]:
    """Returns the changes to the search in `directory`, from the file's `lines` where they have
    been read. Raises `RecordError` naming a damaged line.
    """
    found, remedy = lines or find_lines(directory, STEERING), partial(restore_hint, directory)
    return list(read_records(directory / STEERING, SteeringRecord.from_json, found, remedy))


def add_steering(files: LineFiles, record: SteeringRecord) -> None:
    """Appends a change to the run's `files` and flushes it to the disk."""
    files.open(STEERING).append(to_json(record))


def tried_by_hand(records: Iterable[SteeringRecord]) -> dict[int, Mapping[str, Any]]:
    """Returns the parameters that a user has asked for, by the number of the trial that tries
    them.
    """
    return {
        record.trial: record.params or {}
        for record in records
        if record.action is SteeringAction.TRY and record.trial is not None
    }
