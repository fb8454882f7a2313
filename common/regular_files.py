"""Reads only regular files. To open a pipe would wait for a writer, to read a device may never end,
and to open one may do something.
"""

import errno
import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def irregular_kind(path: Path) -> str | None:
    """Returns what lies at a path, or where the link there leads, as «a named pipe», if that is
    neither a file nor a folder; `None` for these and where nothing is.
    """
    try:
        return _kind_of(path.stat().st_mode)
    except OSError:
        return None


def _kind_of(mode: int) -> str | None:
    return next((name for matches, name in _KINDS if matches(mode)), None)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Returns the content of a file. Raises `OSError`, also for what is no regular file and for a
    file of more than `most_bytes`; its `strerror` says so.
    """
    _check(path, path.stat(), most_bytes)  # before anything is opened
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        _check(path, os.fstat(file.fileno()), most_bytes)
        return file.read(most_bytes)


def open_private_log(path: Path, access: int = os.O_WRONLY) -> int:
    """Opens a file that this user alone can read from then on, to append to it, and creates it
    where it is missing. Returns its descriptor. Raises `OSError`, also for a link and for what is
    no regular file.

    access: `os.O_RDWR` to read it through the descriptor too.
    """
    flags = access | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        _check_kind(path, path.lstat())  # a pipe without a reader says nothing of itself
        raise
    try:
        _check_kind(path, os.fstat(descriptor))
        os.fchmod(descriptor, 0o600)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_kind(path: Path, found: os.stat_result) -> None:
    if kind := _kind_of(found.st_mode):
        raise OSError(errno.EINVAL, f"{kind} and no file", str(path))
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _check(path: Path, found: os.stat_result, most_bytes: int) -> None:
    _check_kind(path, found)
    if found.st_size > most_bytes:
        what = f"a file of {found.st_size:,} bytes, above the limit of {most_bytes:,}"
        raise OSError(errno.EFBIG, what, str(path))
