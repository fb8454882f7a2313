"""Makes short-lived folders that nobody else can read, and removes those of dead processes."""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from common.errors import UserError

_LOCK = "lock"
"""The process that made a folder holds the lock of this file in it as long as it lives."""


class NoRoomError(UserError):
    """Reports that no place takes a folder. The message names the places and the remedy."""


class PrivateFolder:
    """Holds a folder of the mode 0700 with a name that nobody can foresee, until `remove`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock
        self._usual: tuple[str | None, str | None] = None, None

    def take_temporary_files(self) -> None:
        """Makes this process, and what it starts, write temporary files to this folder."""
        self._usual = os.environ.get("TMPDIR"), tempfile.tempdir
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.path)

    def return_temporary_files(self) -> None:
        """Makes this process write temporary files where it did before, if they come here."""
        if os.environ.get("TMPDIR") == str(self.path):
            del os.environ["TMPDIR"]
            named, tempfile.tempdir = self._usual
            os.environ |= {"TMPDIR": named} if named else {}

    def remove(self) -> None:
        """Removes the folder with all that is in it, as far as the system allows that."""
        self.return_temporary_files()
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def places() -> tuple[Path, ...]:
    """Returns the folders for temporary files: what TMPDIR names, and the system's."""
    named = os.environ.get("TMPDIR")
    usual = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108  # only mkdtemp writes
    return tuple(dict.fromkeys([*([Path(named)] if named else []), *usual]))


def choose_place(among: Sequence[Path], longest: int, free_bytes: int) -> Path:
    """Returns the first of the places that has a path of at most `longest` bytes, that this process
    can write to, and that has `free_bytes` of free space. Raises `NoRoomError`.
    """
    refused = []
    for place in among:
        if not (why := _why_not(place, longest, free_bytes)):
            return place
        refused.append(f"{place} {why}")
    raise NoRoomError(
        f"Temporary files need a folder with a path of at most {longest} bytes and "
        f"{free_bytes >> 20} MiB of free space, but {', '.join(refused)}; free some space in one "
        "of them, or name such a folder by TMPDIR."
    )


def _why_not(place: Path, longest: int, free_bytes: int) -> str:
    """Returns what is wrong with a place, or an empty text."""
    if len(os.fsencode(place)) > longest or not place.is_absolute():
        return "is too long" if place.is_absolute() else "is no absolute path"
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return f"can't be used ({error.strerror})"
    if not os.access(place, os.W_OK | os.X_OK):
        return "can't be written"
    return "" if free >= free_bytes else f"has {free >> 20} MiB"


def make_private_folder(place: Path, prefix: str) -> PrivateFolder:
    """Makes a folder in `place` with a name of `prefix` and eight more letters. Raises
    `OSError`.
    """
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        # Another process that looks for leftovers may have been quicker than the lock.
        lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        if _take(lock):
            return PrivateFolder(path, lock)
        os.close(lock)


def remove_leftovers(among: Sequence[Path], prefix: str) -> list[Path]:
    """Removes folders that `make_private_folder` made for processes of this user that have died,
    and returns their paths. A folder stays in which a process has a file open.
    """
    removed = []
    for place in among:
        for path in place.glob(f"{prefix}????????"):
            with suppress(OSError):
                if path.lstat().st_uid == os.getuid() and _remove_dead(path):
                    removed.append(path)
    return removed


def _remove_dead(path: Path) -> bool:
    """Removes a folder if its process has died; returns whether it did. Raises `OSError`."""
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if not _take(lock) or any(find_processes(path)):
            return False
        shutil.rmtree(path, ignore_errors=True)
        return True
    finally:
        os.close(lock)


def _take(lock: int) -> bool:
    """Returns whether this process now holds the lock of an open file."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def find_processes(folder: Path) -> Iterator[psutil.Process]:
    """Yields the other processes of this user that have a file in the folder open."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.uids().real != os.getuid():
                continue
            if any(Path(each.path).is_relative_to(folder) for each in process.open_files()):
                yield process


def keep_compiled_private() -> None:
    """Makes torch keep what it compiles in a folder of this user, unless a variable names one. By
    default the code lies in /tmp, under a name that others can take before.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(private_cache("compiled")))


def private_cache(name: str) -> Path:
    """Returns a folder of this user for what can be made anew: one in the home's cache, or a new
    temporary one where the home takes none, which goes when this process ends in order. A search
    removes those of its workers, whose temporary files lie in its own folder.
    """
    home = os.environ.get("HOME")
    root = os.environ.get("XDG_CACHE_HOME") or (home and f"{home}/.cache")
    if root:
        path = Path(root) / "tiny-imagenet-search" / name
        with suppress(OSError):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.stat().st_uid == os.geteuid() and os.access(path, os.W_OK | os.X_OK):
                return path
    path = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
