"""Reads and writes the finalists' files in a run directory: the states of their trainings with
fresh seeds, and the epochs of these trainings.

Each training is identified by two numbers: that of its trial, and its repeat, which counts from 1.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from common.files import write_text_atomically
from common.text import redacted
from results.jsonl import append_line, close_all, open_for_append, read_records, read_whole_number
from results.records import EpochMetrics, FinalistRecord, to_json

FINALISTS, FINALIST_EPOCHS = "finalists.jsonl", "finalist-epochs.jsonl"
"""In a run directory, `finalists.jsonl` holds the states of the finalists' trainings, and
`finalist-epochs.jsonl` holds their epochs.
"""

RepeatId = tuple[int, int]
"""A training's key is the pair (trial number, repeat)."""


def read_finalists(directory: Path) -> dict[RepeatId, FinalistRecord]:
    """Returns the latest record of every training in the order of planning; the mapping is empty
    where no finalists were trained. Raises `RecordError` naming a damaged line.
    """
    records = read_records(directory / FINALISTS, FinalistRecord.from_json)
    return {(record.trial, record.repeat): record for record in records}


def read_finalist_epochs(directory: Path) -> Iterator[tuple[RepeatId, EpochMetrics]]:
    """Yields ((trial number, repeat), metrics) for every recorded epoch, in the order of recording.
    Raises `RecordError` naming a damaged line.
    """
    yield from read_records(
        directory / FINALIST_EPOCHS,
        lambda value: (
            (read_whole_number(value, "trial"), read_whole_number(value, "repeat")),
            EpochMetrics.from_json(value),
        ),
    )


class FinalistStore:
    """Writes one run's finalists while the run's `RunStore` is open.

    Each file is created when its first line is written. `dropped` is called with the file name of
    each checkpoint that is removed, so that its copies can be removed too.
    """

    def __init__(self, directory: Path, dropped: Callable[[str], object] | None = None) -> None:
        self.directory, self._dropped = directory, dropped
        self._files: dict[str, IO[str]] = {}

    def records(self) -> dict[RepeatId, FinalistRecord]:
        """Returns the latest record of every training of this run, as `read_finalists` does."""
        return read_finalists(self.directory)

    def epochs(self) -> Iterator[tuple[RepeatId, EpochMetrics]]:
        """Yields the recorded epochs of this run's finalists, as `read_finalist_epochs` does."""
        return read_finalist_epochs(self.directory)

    def add(self, record: FinalistRecord) -> None:
        """Appends a training's new state and flushes it to the disk."""
        append_line(self._file(FINALISTS), to_json(record))

    def add_epoch(self, key: RepeatId, metrics: EpochMetrics) -> None:
        """Appends one epoch of the training `key` and flushes it to the disk."""
        line = f'{{"trial":{key[0]},"repeat":{key[1]},{to_json(metrics)[1:]}'
        append_line(self._file(FINALIST_EPOCHS), line)

    def checkpoint(self, key: RepeatId) -> Path:
        """Returns the path at which the unfinished training `key` saves its checkpoint."""
        return self.directory / "checkpoints" / f"{_name(key)}.pt"

    def drop_checkpoint(self, key: RepeatId) -> None:
        """Removes the checkpoint of the ended training `key`, if there is one."""
        path = self.checkpoint(key)
        path.unlink(missing_ok=True)
        if self._dropped:
            self._dropped(path.name)

    def add_error(self, key: RepeatId, text: str) -> None:
        """Writes the complete traceback of a failed training to `errors/`, with its secrets
        redacted.
        """
        path = self.directory / "errors" / f"{_name(key)}.txt"
        path.parent.mkdir(exist_ok=True)
        write_text_atomically(path, redacted(text))

    def close(self) -> None:
        """Closes the files. Every record was flushed when it was added, so that closing saves
        nothing more.
        """
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
