"""Files that are complete or absent, folders that one process holds, disks that are full.

Also what is looked at before a file is trusted: a checksum of JSON, an archive of torch's.
"""

import errno
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from common.errors import UserError


class FolderError(UserError):
    """A folder can't be written; the message names it and the remedy."""


@contextmanager
def open_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A new file beside `path`, which is renamed to it when all went well, and else removed.

    The file's content is flushed to the disk before it gets its name. Missing folders are made.
    Whatever goes wrong, `path` keeps its old content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(path) as file:
        yield file


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Lets `write` fill the file that `open_atomically` gives for `path`."""
    with open_atomically(path) as file:
        write(file)


def write_text_atomically(path: Path, text: str) -> None:
    """Writes a text, whole or not at all, into a folder that is there. Raises `OSError`."""
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


def check_archive(path: Path) -> None:
    """Checks a zip archive that `torch.save` should have written, before torch reads it.

    Torch writes checksums but never compares them, and it would unpack compressed entries, which
    `torch.save` never writes, to any size. Raises `ValueError` for compressed entries, for entries
    that are larger than the file, and for a wrong checksum; zipfile's own errors for other damage
    propagate.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("it unpacks to more than it is")
        if (name := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {name} in it is wrong")


def checksum(value: Any) -> str:
    """A sha256 of plain values, the same after a way through JSON or YAML and back."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()


_REFUSALS = {
    errno.ENOSPC: ("is full", "free some space there"),
    errno.EDQUOT: ("has no more room for this user", "free some, or have the quota raised"),
    errno.EROFS: ("is read-only", "make it writable"),
}


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises `OSError`; `ValueError` or `RecursionError` for damage."""
    return json.loads(path.read_text(encoding="utf-8"))


def is_full(error: BaseException) -> bool:
    """Whether `error` says that a disk, or this user's part of one, has no more room."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def describe_lacking_space(directory: Path, needed_bytes: int) -> str | None:
    """One sentence where the disk of `directory` has less than `needed_bytes` free."""
    free = shutil.disk_usage(directory).free
    if free >= needed_bytes:
        return None
    return (
        f"{directory} needs {needed_bytes / 1e6:,.0f} MB of free disk space, but has "
        f"{free / 1e6:,.0f} MB; free some or use another --data folder."
    )


def describe_full_disk(error: BaseException, directory: Path) -> str | None:
    """One sentence with the remedy where a disk that refuses to be written caused `error`.

    directory: what was being written, where the error names no file.
    """
    for cause in causes_of(error):
        if isinstance(cause, OSError) and cause.errno in _REFUSALS:
            what, remedy = _REFUSALS[cause.errno]
            return (
                f"The disk that holds {cause.filename or directory} {what}; {remedy}, then go on "
                f"with --resume {directory.name}: all that was recorded is kept."
            )
    return None


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """An error, and whatever led to it, the latest first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def sync_folder(directory: Path) -> None:
    """Makes renames in a folder survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock_folder(directory: Path) -> Iterator[None]:
    """Holds the folder, made where missing; says so when it must wait for another process.

    The system lets go of the lock when its process dies. Raises `FolderError` for a folder
    that can't be written.
    """
    # Not before it is needed: what only reads records does without it.
    from filelock import FileLock, Timeout

    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"Another process is at work in {directory}; waiting for it.", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise FolderError(
            f"{directory} can't be written ({error.strerror}); use another --data folder."
        ) from error
    try:
        yield
    finally:
        lock.release()
