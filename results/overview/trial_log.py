"""Keeps what a trial's worker prints, in the run's folder, and reads it.

A log is the end of what was printed: file descriptors 1 and 2 lead into the file while an epoch is
trained, so that it holds what C code prints too, and what came before a crash.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from common.regular_files import irregular_kind, open_private_log
from common.text import printable, redacted
from results.records import TrainingId

LOGS = "logs"
"""This folder of a run holds the logs, a file for each training that has printed anything."""

MOST_BYTES = 256 << 10
"""A log that gets longer than this loses its first half. One that is being written may be longer by
what is printed in half a second.
"""

_CUT = b"(earlier lines were left out)\n"
_STANDARD = (1, 2)
"""The file descriptors of standard output and standard error."""


def log_path(directory: Path, training: TrainingId) -> Path:
    """Returns the path of a training's log in the run's folder."""
    return directory / LOGS / f"{training.stem}.txt"


def read_log(directory: Path, training: TrainingId, lines: int | None = None) -> str:
    """Returns what a training has printed, or its last `lines`, without secrets and with everything
    escaped that a terminal would obey. Returns an empty text where there is no such file.
    """
    path = log_path(directory, training)
    try:
        if irregular_kind(path) or path.is_symlink():
            return ""
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 2 * MOST_BYTES))
            data = file.read(2 * MOST_BYTES)
    except OSError:
        return ""
    all_lines = data.removesuffix(b"\n").split(b"\n") if data else []
    left_out = len(all_lines) - lines if lines is not None else 0
    kept = b"\n".join(all_lines[max(0, left_out) :])
    found = redacted(kept.decode("utf-8", errors="replace")).split("\n")
    # A progress bar writes over its line; what remains of it is what a terminal would show.
    shown = [printable(each.rstrip("\r").rpartition("\r")[2].expandtabs()) for each in found]
    if left_out > 0:
        shown.insert(0, f"({left_out} earlier lines were left out)")
    return "\n".join(shown)


def append_log(path: Path, data: bytes) -> None:
    """Appends to a log what was printed on another node. Raises `OSError`."""
    log = _open(path)
    try:
        _write(log, data)
        _cut(log)
    finally:
        os.close(log)


def remove_empty_logs(directory: Path) -> None:
    """Removes the logs of trainings that have printed nothing; no training may run any more."""
    with suppress(OSError):
        for path in (directory / LOGS).iterdir():
            if path.lstat().st_size == 0:
                path.unlink()
        (directory / LOGS).rmdir()


class TrialLog:
    """Leads what this process prints into a training's log, within a `with` statement.

    What is printed goes to where it would have gone too, at the statement's end. Where the log
    can't be opened, nothing is kept. The file of a training that prints nothing goes with `close`.

    path: the log's path on this node.
    send: is called with what was printed, at the statement's end, where the run is on another node.
    """

    def __init__(self, path: Path, send: Callable[[bytes], object] | None = None) -> None:
        self._path, self._send = path, send
        self._log, self._usual, self._passed = -1, list[int](), 0
        with suppress(OSError):
            self._log = _open(path)
            self._passed = os.fstat(self._log).st_size
            if self._passed:
                now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
                _write(self._log, f"--- it went on at {now}\n".encode())

    def __enter__(self) -> Self:
        if self._log >= 0:
            _flush()
            self._usual = [os.dup(each) for each in _STANDARD]
            for each in _STANDARD:
                os.dup2(self._log, each)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._usual:
            _flush()
            for usual, each in zip(self._usual, _STANDARD, strict=True):
                os.dup2(usual, each)
                os.close(usual)
            self._usual = []
            with suppress(OSError):
                self._pass_on(1)

    def limit(self) -> None:
        """Shortens the log where it is too long; a training calls this between two steps."""
        if self._usual and os.fstat(self._log).st_size > 2 * MOST_BYTES:
            with suppress(OSError):
                self._pass_on(self._usual[0])

    def close(self) -> None:
        """Closes the file, and removes it where nothing was printed."""
        if self._log >= 0:
            with suppress(OSError):
                if self._send or not os.fstat(self._log).st_size:
                    self._path.unlink()
            os.close(self._log)
            self._log = -1

    def _pass_on(self, usual: int) -> None:
        """Passes on what was printed since the last call, without secrets, and shortens the log."""
        size = os.fstat(self._log).st_size
        if size <= self._passed:
            return
        begin = max(self._passed, size - MOST_BYTES // 2)
        data = os.pread(self._log, size - begin, begin)
        clean = redacted(data.decode("utf-8", errors="surrogateescape"))
        clean_data = clean.encode("utf-8", errors="surrogateescape")
        if clean_data != data:
            os.ftruncate(self._log, begin)
            _write(self._log, clean_data)
        _cut(self._log)
        self._passed = os.fstat(self._log).st_size
        _write(usual, clean_data)
        if self._send:
            self._send(clean_data)


def _open(path: Path) -> int:
    """Opens a log in a run's folder, which must exist. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return open_private_log(path, os.O_RDWR)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _cut(log: int) -> None:
    """Removes the first lines of a log that is too long."""
    size = os.fstat(log).st_size
    if size > MOST_BYTES:
        kept = os.pread(log, MOST_BYTES // 2, size - MOST_BYTES // 2)
        os.ftruncate(log, 0)
        _write(log, _CUT + kept[kept.find(b"\n") + 1 :])


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
