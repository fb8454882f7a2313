"""Reads and writes files of JSON lines: each line has a checksum that includes all lines before it,
is flushed to the disk, and is cut off where a writer was interrupted in it.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

from common.errors import RecordError

T = TypeVar("T")

_SEAL = re.compile(rb',"(crc32|chain)":"([0-9a-f]{8})"\}\Z')
"""This pattern matches the checksum at the end of a line, eight hexadecimal digits. `chain` is the
CRC-32 of the file's start and of all lines up to this one, and `crc32`, which older versions wrote,
that of the line alone.
"""


class Chain(NamedTuple):
    """Describes how a file's chain of checksums must begin, and how far it is known to reach.

    `start` is the number that the first line's checksum includes, or `None` where it isn't known.
    The first `lines` lines must be there, and the checksum after the last of them must be `seal`.
    """

    start: int | None = None
    lines: int = 0
    seal: int = 0


class Lines(NamedTuple):
    """Holds the lines of a file, as `read_content` returns them, and their chain."""

    content: Sequence[bytes]
    chain: Chain = Chain()


def restore_from_copy() -> str:
    """Returns the remedy for a damaged file of which nothing more is known."""
    return "restore it from a copy"


def check_regular(path: Path, remedy: Callable[[], str] = restore_from_copy) -> bool:
    """Returns whether there is a file at `path`. Raises `RecordError` for one that this user may
    not read, and for anything else there, such as a pipe, which could be waited for without end, or
    a device.
    """
    try:
        there, regular = path.exists(), path.is_file()
    except PermissionError:  # to look into its folder
        there = regular = True
    if there and not regular:
        kind = "folder" if path.is_dir() else "pipe, a socket or a device"
        raise RecordError(f"{path} must be a file, but is a {kind}; {remedy()}.")
    if there and not os.access(path, os.R_OK):
        raise RecordError(f"{path} must be a file that you may read, but isn't; ask its owner.")
    return there


def read_content(path: Path, remedy: Callable[[], str] = restore_from_copy) -> list[bytes]:
    """Returns the lines of a file, none for a missing one. An incomplete last line, which a killed
    writer leaves, is left out. Raises `RecordError` for anything but a file.
    """
    return path.read_bytes().split(b"\n")[:-1] if check_regular(path, remedy) else []


def read_lines(
    path: Path, lines: Lines | None = None, remedy: Callable[[], str] = restore_from_copy
) -> Iterator[dict[str, Any]]:
    """Yields the objects in a JSON-lines file; a missing file yields none.

    lines: the file's lines and their chain, where they have been read already.
    remedy: returns what is to be done where the file is damaged.

    Raises `RecordError` naming the line where one is damaged, or where lines are missing, doubled
    or in another order than they were written in.
    """
    content, chain = lines or Lines(read_content(path, remedy))
    for number, text in enumerate(_unseal_lines(content, chain), 1):
        try:
            value = None if text is None else json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise RecordError(
                f"{path} line {number} is damaged, or not where it was written; {remedy()}."
            )
        yield value
    if len(content) < chain.lines:
        raise RecordError(
            f"{path} must have the {chain.lines} lines that the manifest counts, but has "
            f"{len(content)}; {remedy()}."
        )


def _unseal_lines(lines: Iterable[bytes], chain: Chain) -> Iterator[bytes | None]:
    """Yields each line without its checksum, or `None` for a line with a wrong one. Lines of older
    versions, with a checksum of their own or none, may stand before those of the chain.
    """
    seal, chained = chain.start or 0, False
    for number, line in enumerate(lines, 1):
        found = _SEAL.search(line)
        text = line[: found.start()] + b"}" if found else line
        digits = int(found[2], 16) if found else None
        seal = crc32(text, seal)
        if found and found[1] == b"chain":
            if chain.start is None and not chained:
                seal = digits or 0
            right, chained = digits == seal, True
        else:
            right = not chained and digits in (None, crc32(text))
        yield text if right and (number != chain.lines or seal == chain.seal) else None


def seal_line(line: str, before: int) -> tuple[str, int]:
    """Returns the line of a non-empty JSON object with its checksum as the last key, and this
    checksum. `before` is the checksum of the line before, or the start of the file's chain.
    """
    seal = crc32(line.encode(), before)
    return f'{line[:-1]},"chain":"{seal:08x}"}}', seal


def read_records(
    path: Path,
    read: Callable[[dict[str, Any]], T],
    lines: Lines | None = None,
    remedy: Callable[[], str] = restore_from_copy,
) -> Iterator[T]:
    """Yields `read(value)` for each object in a JSON-lines file, which `read_lines` reads. A
    `RecordError` from `read` is raised again with the file and the number of the line.
    """
    for number, value in enumerate(read_lines(path, lines, remedy), 1):
        try:
            yield read(value)
        except RecordError as error:
            raise RecordError(f"{path} line {number} is damaged ({error}); {remedy()}.") from error


def read_whole_number(value: dict[str, Any], key: str) -> int:
    """Returns the whole number under `key`. Raises `RecordError` where there is none."""
    if type(found := value.get(key)) is not int:
        raise RecordError(f"{key} must be a whole number, but is {found!r:.40}")
    return found


def cut_torn_line(path: Path) -> None:
    """Cuts off the incomplete last line that a killed writer or a full disk left in a file."""
    if check_regular(path):
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)


class LineWriter:
    """Appends sealed lines to a file, after cutting off an incomplete last line.

    start: what the checksum of the file's first line includes. Where the file has lines already,
    the chain goes on from its last one.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        cut_torn_line(path)
        lines, seal = read_content(path), start
        found = _SEAL.search(lines[-1]) if lines else None
        if found and found[1] == b"chain":
            seal = int(found[2], 16)
        else:
            for text in _unseal_lines(lines, Chain()):
                seal = crc32(text or b"", seal)
        self._file = path.open("ab", buffering=0)
        self._end = (sum(map(len, lines)) + len(lines), len(lines), seal)

    @property
    def end(self) -> tuple[int, int]:
        """Returns the number of lines, and the checksum of the last one."""
        return self._end[1:]

    def append(self, line: str) -> None:
        """Appends the line of a JSON object and flushes it to the disk before returning: Optuna's
        journal must never be ahead of the records. Where that fails, nothing of the line stays.
        """
        size, lines, before = self._end
        text, seal = seal_line(line, before)
        rest = memoryview(text.encode() + b"\n")
        end = (size + len(rest), lines + 1, seal)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
            self._end = end
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), self._end[0])
            raise

    def close(self) -> None:
        """Closes the file; every line was flushed when it was appended."""
        self._file.close()


class LineFiles:
    """Writes the files of lines in a folder, and counts their lines.

    start: a text that no other run has, from which the chain of each file begins.
    names: those of these files that exist are opened at once, the others by their first line.
    """

    def __init__(self, directory: Path, start: str, names: Iterable[str]) -> None:
        self._directory, self._start = directory, start
        self._open: dict[str, LineWriter] = {}
        for name in names:
            if (directory / name).exists():
                self.open(name)

    def open(self, name: str) -> LineWriter:
        """Returns the writer of the file of this name, which is made where it is missing."""
        if name not in self._open:
            start = chain_start(self._start, name)
            self._open[name] = LineWriter(self._directory / name, start)
        return self._open[name]

    def lines(self) -> dict[str, int]:
        """Returns the number of lines of each file that has some."""
        return {name: file.end[0] for name, file in self._open.items() if file.end[0]}

    def counts(self) -> dict[str, Any]:
        """Returns what `chain_of` reads: the start, and the end of each file as it is now."""
        ends = {name: file.end for name, file in self._open.items()}
        files = {name: {"lines": n, "seal": f"{seal:08x}"} for name, (n, seal) in ends.items()}
        return {"start": self._start, "files": files}

    def close(self) -> None:
        """Closes every file, and then raises the error of any that failed."""
        with ExitStack() as stack:
            while self._open:
                stack.callback(self._open.popitem()[1].close)


def chain_start(start: str, name: str) -> int:
    """Returns the number from which the chain of the file of this name begins."""
    return crc32(f"{start}/{name}".encode())


def open_lines(path: Path, start: str | None, remedy: Callable[[], str]) -> Lines:
    """Returns the lines of a file, whose chain begins from `start` where that is known."""
    chain = Chain() if start is None else Chain(chain_start(start, path.name))
    return Lines(read_content(path, remedy), chain)


def chain_of(counts: Mapping[str, Any] | None, name: str) -> Chain:
    """Returns how the chain of a file must go by what `LineFiles.counts` returned earlier, if it
    ever did.
    """
    if not counts:
        return Chain()
    end = counts["files"].get(name, {"lines": 0, "seal": "0"})
    return Chain(chain_start(counts["start"], name), end["lines"], int(end["seal"], 16))
