"""One process at a time in a folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from datasets.spec import DatasetError


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the folder, made where missing; says so when it must wait for another process.

    The system lets go of the lock when its process dies. Raises `DatasetError` for a folder
    that can't be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"Another process is at work in {directory}; waiting for it.", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise DatasetError(
            f"{directory} can't be written ({error.strerror}); use another --data folder."
        ) from error
    try:
        yield
    finally:
        lock.release()
