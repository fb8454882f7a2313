"""Reads and writes files of JSON lines: each line has a checksum, is flushed to the disk, and is
cut off where a writer was interrupted in it.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, TypeVar
from zlib import crc32

from common.errors import RecordError

T = TypeVar("T")

_LINE_SEAL = re.compile(rb',"crc32":"([0-9a-f]{8})"\}\Z')
"""This pattern matches the checksum at the end of a line, eight hexadecimal digits."""


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the objects in a JSON-lines file; a missing file yields none. An incomplete last line,
    which a killed writer leaves, is skipped.

    Raises `RecordError` naming the line when any other line is damaged.
    """
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            value = json.loads(_unseal_line(line))
        except (ValueError, RecursionError) as error:
            raise RecordError(
                f"{path} line {number} is damaged; restore it from a copy, or remove the line."
            ) from error
        if not isinstance(value, dict):
            raise RecordError(f"{path} line {number} must be an object; remove the line.")
        yield value


def seal_line(line: str) -> str:
    """Returns the line of a non-empty JSON object with its CRC-32 checksum as the last key."""
    return f'{line[:-1]},"crc32":"{crc32(line.encode()):08x}"}}'


def _unseal_line(line: bytes) -> bytes:
    """Returns the line without the checksum that `seal_line` added; a line of an older run, which
    has none, is returned unchanged. Raises `ValueError` for a wrong checksum.
    """
    found = _LINE_SEAL.search(line)
    if found is None:
        return line
    content = line[: found.start()] + b"}"
    if crc32(content) != int(found[1], 16):
        raise ValueError("its checksum is wrong")
    return content


def read_records(path: Path, read: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """Yields `read(value)` for each object in a JSON-lines file. A `RecordError` from `read` is
    raised again with the file and the number of the line.
    """
    for number, value in enumerate(read_lines(path), 1):
        try:
            yield read(value)
        except RecordError as error:
            raise RecordError(
                f"{path} line {number} is damaged ({error}); restore it from a copy, or remove "
                "the line."
            ) from error


def read_whole_number(value: dict[str, Any], key: str) -> int:
    """Returns the whole number under `key`. Raises `RecordError` where there is none."""
    if type(found := value.get(key)) is not int:
        raise RecordError(f"{key} must be a whole number, but is {found!r:.40}")
    return found


def open_for_append(path: Path) -> IO[str]:
    """Opens a JSON-lines file for appending, after cutting off an incomplete last line."""
    cut_torn_line(path)
    return path.open("a", encoding="utf-8")


def cut_torn_line(path: Path) -> None:
    """Cuts off the incomplete last line that a killed writer or a full disk left in a file."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)


def close_all(files: Iterable[IO[str]]) -> None:
    """Closes every file, and then raises the error of any that failed: on a full disk, closing can
    fail to write the rest of a line.
    """
    with ExitStack() as stack:
        for file in files:
            stack.callback(file.close)


def append_line(file: IO[str], line: str) -> None:
    """Appends a JSON line with its checksum and flushes it to the disk before returning: Optuna's
    journal must never be ahead of the records.
    """
    file.write(seal_line(line) + "\n")
    file.flush()
    os.fsync(file.fileno())
