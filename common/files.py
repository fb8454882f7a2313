"""Writes files atomically, locks folders, explains full disks, and checks files before they are
trusted.
"""

import errno
import glob
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO, Any

from common.cli import quote
from common.errors import UserError
from common.regular_files import irregular_kind, read_regular

LARGEST_JSON = 1 << 30
"""A JSON file with more bytes isn't read."""


class FolderError(UserError):
    """Reports a folder that can't be written; the message names the folder and the remedy."""


@contextmanager
def open_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Opens a new file beside `path`, which is renamed to `path` at the end of the block.

    The content is flushed to the disk before. Missing folders are made. When the block raises an
    error, the new file is removed and `path` keeps its old content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(path) as file:
        yield file


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Calls `write` with a file that replaces `path` atomically, as `open_atomically` does."""
    with open_atomically(path) as file:
        write(file)


def write_text_atomically(path: Path, text: str) -> None:
    """Writes a text atomically into an existing folder. Raises `OSError`."""
    with _replacing(path) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def find_existing(path: Path) -> Path:
    """Returns `path`, or where it doesn't exist the nearest folder above it that does."""
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def find_unwritable(directory: Path) -> Path | None:
    """Returns what keeps a folder, which need not exist yet, from being written: itself, or the
    nearest part of its path that exists; `None` where it can be written. Creates nothing.
    """
    place = find_existing(directory)
    return None if place.is_dir() and os.access(place, os.W_OK | os.X_OK) else place


def remove_leftovers(directory: Path, name: str | None = None) -> None:
    """Removes temporary files of atomic writes in a folder whose processes are dead: those of the
    file `name`, or all.
    """
    for path in directory.glob(f".{glob.escape(name)}.*.tmp" if name else ".*.tmp"):
        process = path.name.split(".")[-2]
        if process.isdigit() and not Path("/proc", process).exists():
            path.unlink(missing_ok=True)


def check_archive(path: Path) -> None:
    """Checks a zip archive that `torch.save` should have written, before torch reads it.

    Torch writes checksums but never compares them, and it would unpack compressed entries, which
    `torch.save` never writes, to any size. Raises `ValueError` for compressed entries, for entries
    that are larger than the file, and for a wrong checksum; zipfile's own errors for other damage
    propagate.
    """
    if kind := irregular_kind(path):
        raise ValueError(f"it is {kind}")
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("it unpacks to more than it is")
        if (name := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {name} in it is wrong")


def checksum(value: Any) -> str:
    """Returns a sha256 of plain values, which survives writing and reading as JSON or YAML."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file's content. Raises `OSError`."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


_REFUSALS = {
    errno.ENOSPC: ("is full", "free some space there"),
    errno.EDQUOT: ("has no more room for this user", "free some, or have the quota raised"),
    errno.EROFS: ("is read-only", "make it writable"),
}


def read_json(path: Path) -> Any:
    """Returns the value in a JSON file. Raises `OSError`, also for anything but a file of at most
    `LARGEST_JSON` bytes; `ValueError` or `RecursionError` for damage.
    """
    return json.loads(read_regular(path, LARGEST_JSON).decode())


def is_full(error: BaseException) -> bool:
    """Returns whether `error` reports that a disk, or this user's part of one, is full."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def describe_lacking_space(directory: Path, needed_bytes: int) -> str | None:
    """Returns a sentence if the disk of `directory`, which needn't exist yet, has too little free
    space, or `None`.
    """
    free = shutil.disk_usage(find_existing(directory)).free
    if free >= needed_bytes:
        return None
    return (
        f"{directory} needs {needed_bytes / 1e6:,.0f} MB of free disk space, but has "
        f"{free / 1e6:,.0f} MB; free some or use another --data folder."
    )


def describe_full_disk(error: BaseException, directory: Path, *, begun: bool = True) -> str | None:
    """Returns a sentence with the remedy if a disk that can't be written caused `error`, or `None`.

    directory: the run, which the sentence names if the error names no file.
    begun: whether the run has records, with which it can go on.
    """
    for cause in causes_of(error):
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            what, remedy = _REFUSALS[cause.errno]
            held = cause.filename or directory
            if not begun:
                return (
                    f"The disk that holds {held} {what}; {remedy}, then run the same command again."
                )
            return (
                f"The disk that holds {held} {what}; {remedy}, then go on "
                f"with {quote('--resume', directory)}: all that was recorded is kept."
            )
    return None


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and the errors that led to it, the latest first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def sync_folder(directory: Path) -> None:
    """Flushes a folder to the disk, so that renames in it survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


LOCK = ".lock"
"""A folder that one process writes at a time is locked through the file of this name."""


def is_locked(directory: Path) -> bool:
    """Returns whether another process has locked the folder. Nothing is written; for the moment of
    the question the lock can't be taken.
    """
    import fcntl

    try:
        # A pipe in its place isn't waited for.
        with os.fdopen(os.open(directory / LOCK, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no lock, or its file system has none
        return False
    return False


@contextmanager
def lock_folder(directory: Path, *, wait: bool = True) -> Iterator[bool]:
    """Locks the folder during a block, and creates it if it is missing. Yields whether it is
    locked: if another process holds the lock, a line is printed and this one waits for it, or
    without `wait` the block goes on unlocked.

    The system releases the lock when its process dies. Raises `FolderError` for a folder that
    can't be written.
    """
    # Not before it is needed: what only reads records does without it.
    from filelock import FileLock, Timeout

    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if wait:
                print(
                    f"Another process is at work in {directory}; waiting for it.", file=sys.stderr
                )
                lock.acquire()
    except OSError as error:
        raise FolderError(
            f"{directory} can't be written ({error.strerror}); make it writable, or use another "
            "--data folder."
        ) from error
    try:
        yield lock.is_locked
    finally:
        lock.release()
