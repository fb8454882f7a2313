"""A run directory on disk: append-only JSON lines and atomic files.

    runs/NAME/
        manifest.json    options, versions, commit, dataset fingerprint, machine
        journal.log      the Optuna study (`optuna-dashboard runs/NAME/journal.log`)
        epochs.jsonl     one line an epoch, in the order in which it was decided on
        trials.jsonl     a line when a trial starts and one when it ends; the last one counts
        evidence.jsonl   after a warm start: what the sampler takes from earlier runs
        finalists.jsonl, finalist-epochs.jsonl
                         the same of each finalist's repeats, where there are any
        best.yaml        written last
        errors/          the tracebacks of each trial that broke off
        checkpoints/     of unfinished trials only

One process writes a run at a time, under `.lock`; anybody may read.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from results.records import (
    SCHEMA_VERSION,
    EpochMetrics,
    RecordError,
    TrialRecord,
    TrialState,
    to_json,
)

EPOCHS, TRIALS, MANIFEST, BEST = "epochs.jsonl", "trials.jsonl", "manifest.json", "best.yaml"


class RunError(Exception):
    """A run can't be opened or written; the message names the run and the remedy."""


def write_atomic(path: Path, text: str) -> None:
    """Writes a whole file or nothing: a temporary name beside it, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file. A torn last line, left by a killed writer, is left out.

    Raises `RecordError` naming the line when anything else can't be read.
    """
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise RecordError(
                f"{path} line {number} is damaged; restore it from a copy, or remove the line."
            ) from error
        if not isinstance(value, dict):
            raise RecordError(f"{path} line {number} must be an object; remove the line.")
        yield value


def read_epochs(directory: Path) -> Iterator[tuple[int, EpochMetrics]]:
    """(trial number, metrics) of every recorded epoch, in order."""
    for value in read_lines(directory / EPOCHS):
        if "trial" not in value:
            raise RecordError(f"{directory / EPOCHS} has a line without `trial`; remove it.")
        yield int(value["trial"]), EpochMetrics.from_json(value)


def read_trials(directory: Path) -> dict[int, TrialRecord]:
    """Every trial's latest record, by number, in the order in which they began."""
    records = (TrialRecord.from_json(value) for value in read_lines(directory / TRIALS))
    return {record.number: record for record in records}


def read_standings(directory: Path) -> dict[int, TrialRecord]:
    """`read_trials`, with unfinished trials as far as their epochs have come."""
    trials = read_trials(directory)
    epochs: dict[int, list[EpochMetrics]] = {number: [] for number in trials}
    for number, metrics in read_epochs(directory):
        epochs.setdefault(number, []).append(metrics)
    return {
        number: record.reached(epochs[number]) if record.state is TrialState.RUNNING else record
        for number, record in trials.items()
    }


def read_manifest(directory: Path) -> dict[str, Any]:
    """A run's manifest. Raises `RunError` when there is none, or one of another version."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{directory} is not a run: {MANIFEST} is missing; name a folder under --out "
            "that a search has made."
        ) from None
    except ValueError as error:
        raise RunError(f"{directory / MANIFEST} is damaged ({error}); restore it.") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{directory / MANIFEST} must have schema_version {SCHEMA_VERSION}, but has "
            f"{version!r}; read it with the version of this project that wrote it."
        )
    return dict(manifest)


class RunStore:
    """Writes one run. Holds the run's lock from creation until `close`.

    `dropped` is called with the name of each checkpoint that is removed here, for copies of it.
    """

    def __init__(self, directory: Path, dropped: Callable[[str], object] | None = None) -> None:
        self.directory, self._dropped = directory, dropped
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(directory / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"{directory} is being written by another process; wait for it, or choose "
                "another --name."
            ) from None
        try:
            self._epochs = open_for_append(directory / EPOCHS)
            self._trials = open_for_append(directory / TRIALS)
        except BaseException:
            self._lock.release()
            raise

    @classmethod
    def create(
        cls,
        directory: Path,
        manifest: dict[str, Any],
        dropped: Callable[[str], object] | None = None,
    ) -> "RunStore":
        """A new run. Raises `RunError` when the directory already holds one."""
        store = cls(directory, dropped)
        if (directory / MANIFEST).exists():
            store.close()
            raise RunError(
                f"{directory} already holds a run; continue it with --resume {directory.name}, "
                "or choose another --name."
            )
        store.write_manifest(manifest)
        return store

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Replaces the manifest."""
        text = json.dumps({"schema_version": SCHEMA_VERSION, **manifest}, indent=1, allow_nan=False)
        write_atomic(self.directory / MANIFEST, text + "\n")

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.directory.name

    def trials(self) -> dict[int, TrialRecord]:
        """`read_trials` of this run."""
        return read_trials(self.directory)

    def epochs(self) -> Iterator[tuple[int, EpochMetrics]]:
        """`read_epochs` of this run."""
        return read_epochs(self.directory)

    def add_epoch(self, trial: int, metrics: EpochMetrics) -> None:
        """Appends one epoch."""
        append_line(self._epochs, f'{{"trial":{trial},{to_json(metrics)[1:]}')

    def add_trial(self, record: TrialRecord) -> None:
        """Appends a trial's new state."""
        append_line(self._trials, to_json(record))

    def checkpoint(self, trial: int) -> Path:
        """Where an unfinished trial keeps its checkpoint."""
        return self.directory / "checkpoints" / f"{trial:04d}.pt"

    def drop_checkpoint(self, trial: int) -> None:
        """Removes the checkpoint of a trial that has ended, if there is one."""
        path = self.checkpoint(trial)
        path.unlink(missing_ok=True)
        if self._dropped:
            self._dropped(path.name)

    def add_error(self, trial: int, text: str) -> Path:
        """Keeps the whole traceback of a trial that broke off, after those it has, for whoever
        mends it.
        """
        path = self.directory / "errors" / f"{trial:04d}.txt"
        path.parent.mkdir(exist_ok=True)
        before = path.read_text(encoding="utf-8") + "\n" if path.exists() else ""
        write_atomic(path, before + text)
        return path

    def close(self) -> None:
        """Flushes to the disk and gives the lock back."""
        for file in (self._epochs, self._trials):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self._lock.release()


def open_for_append(path: Path) -> IO[str]:
    """Opens a JSON-lines file after cutting off what a killed writer left of its last line."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
    return path.open("a", encoding="utf-8")


def append_line(file: IO[str], line: str) -> None:
    """On the disk when this returns: Optuna's journal must never be ahead of the records."""
    file.write(line + "\n")
    file.flush()
    os.fsync(file.fileno())
