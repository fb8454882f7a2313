"""Reads and writes a run directory: append-only JSON lines and files that are replaced atomically.

    runs/NAME/
        manifest.json    options, versions, commit, dataset fingerprint, machine
        space/           the files of the space that the run searches
        journal.log      the Optuna study (`optuna-dashboard runs/NAME/journal.log`)
        epochs.jsonl     one line for each epoch, in the order of the search's decisions
        trials.jsonl     a line when a trial starts and one when it ends; the last one counts
        evidence.jsonl   after a warm start: what the sampler takes from earlier runs
        finalists.jsonl, finalist-epochs.jsonl: the same two for the finalists, if there are any
        steering.jsonl   what a user has changed while the search ran, if anything
        best.yaml        the best configuration, written at the end
        report.html      the page made from all of the above
        errors/, logs/   the tracebacks of each trial that broke off, and what trials printed
        checkpoints/     the checkpoints of unfinished trials

Only one process at a time can write a run, because it holds `.lock`; any process may read. The
checksum of each line includes those of the lines before it, and the manifest counts the lines
(`results.analysis.run_records` compares all of them). Runs of older versions can be read too.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from common.errors import UserError
from common.files import LOCK, checksum, read_json, remove_leftovers, write_text_atomically
from common.json_records import to_json
from common.ownership import sign
from common.text import redacted, redacted_values
from results.jsonl import (
    LineFiles,
    Lines,
    check_regular,
    open_lines,
    read_records,
    read_whole_number,
)
from results.records import SCHEMA_VERSION, EpochMetrics, TrainingId, TrialRecord
from results.run_hints import RUN_FILE, nearest_run, restore_hint, resume_command

EPOCHS, TRIALS, MANIFEST, BEST = "epochs.jsonl", "trials.jsonl", RUN_FILE, "best.yaml"
FINALISTS, FINALIST_EPOCHS, STEERING = "finalists.jsonl", "finalist-epochs.jsonl", "steering.jsonl"
SCREENING, SCREENING_EPOCHS = "screening.jsonl", "screening-epochs.jsonl"
BESIDE = (FINALISTS, FINALIST_EPOCHS, SCREENING, SCREENING_EPOCHS, STEERING)
"""In a run directory, records, manifest, best configuration and lock have these file names."""

CHAIN, SEAL, MAC = "chain", "sha256", "mac"
"""A manifest holds what `results.jsonl.LineFiles.counts` returns under `CHAIN`. Manifest and
best.yaml hold a checksum of all other keys under `SEAL`, and their writer's signature of all others
but that under `MAC`, which older files lack, and those of a writer without a place for a key.
"""


class RunError(UserError):
    """Reports a run that can't be opened or written. The message names the run and the remedy."""


def read_epochs(directory: Path, lines: Lines | None = None) -> Iterator[tuple[int, EpochMetrics]]:
    """Yields (trial number, metrics) for every recorded epoch, in the order of recording, from the
    file's `lines` where they have been read. Raises `RecordError` naming a damaged line.
    """
    yield from read_records(
        directory / EPOCHS,
        lambda value: (read_whole_number(value, "trial"), EpochMetrics.from_json(value)),
        lines or find_lines(directory, EPOCHS),
        partial(restore_hint, directory),
    )


def read_trials(directory: Path, lines: Lines | None = None) -> dict[int, TrialRecord]:
    """Returns the latest record of every trial by number, in the order in which the trials began,
    from the file's `lines` where they have been read. Raises `RecordError` naming a damaged line.
    """
    found, remedy = lines or find_lines(directory, TRIALS), partial(restore_hint, directory)
    records = read_records(directory / TRIALS, TrialRecord.from_json, found, remedy)
    return {record.number: record for record in records}


def find_chain_start(directory: Path) -> str | None:
    """Returns where the checksums of a run's lines start, or `None` for a run of an older version.
    Without a manifest they start from the empty text.
    """
    if not (directory / MANIFEST).exists():
        return ""
    counts = read_manifest(directory).get(CHAIN)
    return str(counts["start"]) if counts else None


def read_manifest(directory: Path) -> dict[str, Any]:
    """Returns a run's manifest without checksum and signature. Raises `RunError` when the manifest
    is missing or damaged, or has another schema version.
    """
    check_regular(directory / MANIFEST, partial(restore_hint, directory))
    try:
        manifest = read_json(directory / MANIFEST)
        seal = manifest.pop(SEAL, None) if isinstance(manifest, dict) else None
        as_written = seal in (None, checksum(manifest))
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(
            f"{directory} is not a run: {MANIFEST} is missing; {nearest_run(directory)}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise _damage_error(directory, str(error)) from error
    if not isinstance(manifest, dict) or "schema_version" not in manifest:
        raise _damage_error(directory, "it has no schema_version")
    version = manifest["schema_version"]
    if version == SCHEMA_VERSION and not as_written:
        raise RunError(
            f"{directory / MANIFEST} is not as it was written; restore it from a copy, or remove "
            f"its entry {SEAL} if you have changed it on purpose."
        )
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{directory / MANIFEST} must have schema_version {SCHEMA_VERSION}, but has "
            f"{version!r}; read it with the version of this project that wrote it."
        )
    manifest.pop(MAC, None)
    return manifest


def _damage_error(directory: Path, what: str) -> RunError:
    return RunError(f"{directory / MANIFEST} is damaged ({what}); {restore_hint(directory)}.")


def checkpoint_path(directory: Path, training: TrainingId) -> Path:
    """Returns the path of the checkpoint of an unfinished training."""
    return directory / "checkpoints" / f"{training.stem}.pt"


def traceback_path(directory: Path, training: TrainingId) -> Path:
    """Returns the path of the tracebacks of a training that broke off."""
    return directory / "errors" / f"{training.stem}.txt"


def lock_run(directory: Path) -> BaseFileLock:
    """Locks a run for writing. Raises `RunError` where another process writes it."""
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0.1)  # `is_locked` holds it for a moment
    except Timeout:
        raise RunError(
            f"{directory} is being written by another process; wait for it, or begin a new run "
            "under another --name."
        ) from None
    return lock


def find_lines(directory: Path, name: str) -> Lines:
    """Returns the lines of a file of a run, and from where its chain must start."""
    remedy = partial(restore_hint, directory)
    return open_lines(directory / name, find_chain_start(directory), remedy)


class RunStore:
    """Writes one run, and holds the run's lock from its creation until `close`.

    `dropped` is called with the file name of each checkpoint that is removed, so that its copies
    can be removed too. `clock` returns seconds since any fixed moment, and is never set back.
    `files` writes the run's files of lines, whose checksums begin from `start` in a new run, and
    `measures` returns more figures of this session, for its epochs' lines.
    Creating an instance makes the folder and raises `RunError` when another process writes the run.
    """

    def __init__(
        self,
        directory: Path,
        dropped: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        start: str | None = None,
    ) -> None:
        self.directory, self._dropped, self._clock = directory, dropped, clock
        self._opened_s, self._session = clock(), 0
        self.measures: Callable[[], Mapping[str, float]] = dict
        self._known: tuple[dict[int, TrialRecord], Sequence[tuple[int, EpochMetrics]]] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = lock_run(directory)
        try:
            remove_leftovers(directory)
            start = find_chain_start(directory) if start is None else start
            start = secrets.token_hex(8) if start is None else start
            self.files = LineFiles(directory, start, BESIDE)
            self._epochs, self._trials = self.files.open(EPOCHS), self.files.open(TRIALS)
        except BaseException:
            self._lock.release()
            raise

    @classmethod
    def create(
        cls,
        directory: Path,
        manifest: dict[str, Any],
        dropped: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> "RunStore":
        """Creates a new run with this manifest and returns its store. Raises `RunError` when the
        directory already holds a run.
        """
        store = cls(directory, dropped, clock, secrets.token_hex(8))
        if (directory / MANIFEST).exists():
            store.close()
            raise RunError(
                f"{directory} already holds a run; go on with it by "
                f"`{resume_command(directory)}`, or choose another --name."
            )
        store.write_manifest(manifest)
        return store

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Replaces the manifest by a signed one; secrets in its texts are redacted."""
        self._session = len(manifest.get("sessions", ()))
        manifest = manifest | {CHAIN: self.files.counts()}
        value = {"schema_version": SCHEMA_VERSION, **redacted_values(manifest)}
        if mac := sign(MANIFEST, value):
            value = {MAC: mac, **value}
        value = {SEAL: checksum(value), **value}  # at its head, so that its line can be removed
        text = json.dumps(value, indent=1, allow_nan=False)
        write_text_atomically(self.directory / MANIFEST, text + "\n")

    @property
    def name(self) -> str:
        """Returns the name of the run, which is that of its folder."""
        return self.directory.name

    def recall(
        self, trials: dict[int, TrialRecord], epochs: Sequence[tuple[int, EpochMetrics]]
    ) -> None:
        """Has `trials` and `epochs` return these, which were read, until more is added."""
        self._known = (trials, epochs)

    def trials(self) -> dict[int, TrialRecord]:
        """Returns the latest record of every trial of this run, as `read_trials` does."""
        return dict(self._known[0]) if self._known else read_trials(self.directory)

    def epochs(self) -> Iterable[tuple[int, EpochMetrics]]:
        """Returns the recorded epochs of this run, as `read_epochs` yields them."""
        return self._known[1] if self._known else read_epochs(self.directory)

    def session_s(self) -> float:
        """Returns the seconds since this session opened the run, by a clock that nobody sets."""
        return round(self._clock() - self._opened_s, 3)

    def stamp(self) -> str:
        """Returns an epoch's session, from 1, its seconds in it, and `measures`, for a line."""
        figures = {"session": self._session, "session_s": self.session_s(), **self.measures()}
        return ",".join(f'"{name}":{value}' for name, value in figures.items())

    def add_epoch(self, trial: int, metrics: EpochMetrics) -> None:
        """Appends one epoch of `trial` and flushes it to the disk."""
        self._known = None
        self._epochs.append(f'{{"trial":{trial},{self.stamp()},{to_json(metrics)[1:]}')

    def add_trial(self, record: TrialRecord) -> None:
        """Appends a trial's new state and flushes it to the disk."""
        self._known = None
        self._trials.append(to_json(record))

    def checkpoint(self, trial: int) -> Path:
        """Returns the path of the checkpoint of an unfinished trial."""
        return checkpoint_path(self.directory, TrainingId(trial))

    def drop_checkpoint(self, trial: int) -> None:
        """Removes the checkpoint of the ended `trial`, if there is one."""
        path = self.checkpoint(trial)
        path.unlink(missing_ok=True)
        if self._dropped:
            self._dropped(path.name)

    def add_error(self, trial: int, text: str) -> Path:
        """Appends the whole traceback of a trial that broke off, redacted, and returns its file."""
        path = traceback_path(self.directory, TrainingId(trial))
        path.parent.mkdir(exist_ok=True)
        before = path.read_text(encoding="utf-8") + "\n" if path.is_file() else ""
        write_text_atomically(path, before + redacted(text))
        return path

    def close(self) -> None:
        """Closes the files and releases the lock, also when closing fails on a full disk: every
        record was flushed when it was added.
        """
        try:
            self.files.close()
        finally:
            self._lock.release()
