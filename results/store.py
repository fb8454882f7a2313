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
        report.html      the page of it, made from all of the above
        errors/          the tracebacks of each trial that broke off
        checkpoints/     of unfinished trials only

One process writes a run at a time, under `.lock`; anybody may read. Lines and the manifest carry
checksums of themselves; older runs have none, and are read all the same.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from common.errors import UserError
from common.files import checksum, read_json, write_text_atomically
from common.text import redacted, redacted_values
from results.jsonl import append_line, close_all, open_for_append, read_records, read_whole_number
from results.records import SCHEMA_VERSION, EpochMetrics, TrialRecord, TrialState, to_json
from results.run_hints import nearest_run, resume_command

EPOCHS, TRIALS, MANIFEST, BEST = "epochs.jsonl", "trials.jsonl", "manifest.json", "best.yaml"

SEAL = "sha256"
"""The key of a file's checksum, of all its other keys."""


class RunError(UserError):
    """A run can't be opened or written; the message names the run and the remedy."""


def read_epochs(directory: Path) -> Iterator[tuple[int, EpochMetrics]]:
    """(trial number, metrics) of every recorded epoch, in order."""
    yield from read_records(
        directory / EPOCHS,
        lambda value: (read_whole_number(value, "trial"), EpochMetrics.from_json(value)),
    )


def read_trials(directory: Path) -> dict[int, TrialRecord]:
    """Every trial's latest record, by number, in the order in which they began."""
    records = read_records(directory / TRIALS, TrialRecord.from_json)
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
        manifest = read_json(directory / MANIFEST)
        told = manifest.pop(SEAL, None) if isinstance(manifest, dict) else None
        as_written = told in (None, checksum(manifest))
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(
            f"{directory} is not a run: {MANIFEST} is missing; {nearest_run(directory)}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{directory / MANIFEST} is damaged ({error}); restore it.") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version == SCHEMA_VERSION and not as_written:
        raise RunError(
            f"{directory / MANIFEST} is not as it was written; restore it from a copy, or remove "
            f"its line {SEAL} if you have changed it on purpose."
        )
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{directory / MANIFEST} must have schema_version {SCHEMA_VERSION}, but has "
            f"{version!r}; read it with the version of this project that wrote it."
        )
    return dict(manifest)


def check_writable(directory: Path) -> None:
    """Raises `RunError` where a run could not be written now, before anything is made there."""
    places = (directory, *directory.absolute().parents)
    place = next(path for path in places if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise RunError(
            f"{directory} must be writable, but {place} isn't; choose another folder with --out."
        )
    if (directory / ".lock").exists():
        _locked(directory).release()


def _locked(directory: Path) -> BaseFileLock:
    lock = FileLock(directory / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"{directory} is being written by another process; wait for it, or choose "
            "another --name."
        ) from None
    return lock


class RunStore:
    """Writes one run. Holds the run's lock from creation until `close`.

    `dropped` is called with the name of each checkpoint that is removed here, for copies of it.
    """

    def __init__(self, directory: Path, dropped: Callable[[str], object] | None = None) -> None:
        self.directory, self._dropped = directory, dropped
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(directory)
        try:
            for leftover in directory.glob(".*.tmp"):  # of a process that was killed
                leftover.unlink(missing_ok=True)
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
                f"{directory} already holds a run; go on with it by "
                f"`{resume_command(directory)}`, or choose another --name."
            )
        store.write_manifest(manifest)
        return store

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Replaces the manifest. Secrets in its texts are left out."""
        value = {"schema_version": SCHEMA_VERSION, **redacted_values(manifest)}
        value[SEAL] = checksum(value)
        text = json.dumps(value, indent=1, allow_nan=False)
        write_text_atomically(self.directory / MANIFEST, text + "\n")

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
        mends it. Secrets are left out.
        """
        path = self.directory / "errors" / f"{trial:04d}.txt"
        path.parent.mkdir(exist_ok=True)
        before = path.read_text(encoding="utf-8") + "\n" if path.exists() else ""
        write_text_atomically(path, before + redacted(text))
        return path

    def close(self) -> None:
        """Gives the lock back, also where the disk is full: each record was flushed by itself."""
        try:
            close_all((self._epochs, self._trials))
        finally:
            self._lock.release()
