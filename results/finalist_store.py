"""The finalists' part of a run directory: trainings with fresh seeds, and their epochs.

A training is named by its trial's number and its repeat, which counts from 1.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from common.files import write_text_atomically
from common.text import redacted
from results.jsonl import append_line, close_all, open_for_append, read_records, read_whole_number
from results.records import EpochMetrics, FinalistRecord, to_json

FINALISTS, FINALIST_EPOCHS = "finalists.jsonl", "finalist-epochs.jsonl"

RepeatId = tuple[int, int]
"""(trial number, repeat)."""


def read_finalists(directory: Path) -> dict[RepeatId, FinalistRecord]:
    """Every training's latest record, in the order of planning; none where no finalists ran."""
    records = read_records(directory / FINALISTS, FinalistRecord.from_json)
    return {(record.trial, record.repeat): record for record in records}


def read_finalist_epochs(directory: Path) -> Iterator[tuple[RepeatId, EpochMetrics]]:
    """((trial number, repeat), metrics) of every recorded epoch, in order."""
    yield from read_records(
        directory / FINALIST_EPOCHS,
        lambda value: (
            (read_whole_number(value, "trial"), read_whole_number(value, "repeat")),
            EpochMetrics.from_json(value),
        ),
    )


class FinalistStore:
    """Writes the finalists of one run, while its `RunStore` is open. Files begin with a line.

    `dropped` is called with the name of each checkpoint that is removed here, for copies of it.
    """

    def __init__(self, directory: Path, dropped: Callable[[str], object] | None = None) -> None:
        self.directory, self._dropped = directory, dropped
        self._files: dict[str, IO[str]] = {}

    def records(self) -> dict[RepeatId, FinalistRecord]:
        """`read_finalists` of this run."""
        return read_finalists(self.directory)

    def epochs(self) -> Iterator[tuple[RepeatId, EpochMetrics]]:
        """`read_finalist_epochs` of this run."""
        return read_finalist_epochs(self.directory)

    def add(self, record: FinalistRecord) -> None:
        """Appends a training's new state."""
        append_line(self._file(FINALISTS), to_json(record))

    def add_epoch(self, key: RepeatId, metrics: EpochMetrics) -> None:
        """Appends one epoch."""
        line = f'{{"trial":{key[0]},"repeat":{key[1]},{to_json(metrics)[1:]}'
        append_line(self._file(FINALIST_EPOCHS), line)

    def checkpoint(self, key: RepeatId) -> Path:
        """Where an unfinished training keeps its checkpoint."""
        return self.directory / "checkpoints" / f"{_name(key)}.pt"

    def drop_checkpoint(self, key: RepeatId) -> None:
        """Removes the checkpoint of a training that has ended, if there is one."""
        path = self.checkpoint(key)
        path.unlink(missing_ok=True)
        if self._dropped:
            self._dropped(path.name)

    def add_error(self, key: RepeatId, text: str) -> None:
        """Keeps the whole traceback of a training that failed, without secrets."""
        path = self.directory / "errors" / f"{_name(key)}.txt"
        path.parent.mkdir(exist_ok=True)
        write_text_atomically(path, redacted(text))

    def close(self) -> None:
        """Each record was flushed by itself."""
        files = list(self._files.values())
        self._files.clear()
        close_all(files)

    def _file(self, name: str) -> IO[str]:
        if name not in self._files:
            self._files[name] = open_for_append(self.directory / name)
        return self._files[name]


def _name(key: RepeatId) -> str:
    trial, repeat = key
    return f"{trial:04d}-repeat-{repeat}"
