"""Files of JSON lines: each line sealed by a checksum, flushed to the disk, cut off where torn."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, TypeVar
from zlib import crc32

from results.records import RecordError

T = TypeVar("T")

_LINE_SEAL = re.compile(rb',"crc32":"([0-9a-f]{8})"\}\Z')


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file. A torn last line, left by a killed writer, is left out.

    Raises `RecordError` naming the line when anything else can't be read.
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
    """The line of a JSON object that isn't empty, with its checksum as the last key."""
    return f'{line[:-1]},"crc32":"{crc32(line.encode()):08x}"}}'


def _unseal_line(line: bytes) -> bytes:
    """The line as it was before `seal_line`; an older run's as it is. Raises `ValueError`."""
    found = _LINE_SEAL.search(line)
    if found is None:
        return line
    content = line[: found.start()] + b"}"
    if crc32(content) != int(found[1], 16):
        raise ValueError("its checksum is wrong")
    return content


def read_records(path: Path, read: Callable[[dict[str, Any]], T]) -> Iterator[T]:
    """What `read` makes of each object of a JSON-lines file; its `RecordError` names the line."""
    for number, value in enumerate(read_lines(path), 1):
        try:
            yield read(value)
        except RecordError as error:
            raise RecordError(
                f"{path} line {number} is damaged ({error}); restore it from a copy, or remove "
                "the line."
            ) from error


def read_whole_number(value: dict[str, Any], key: str) -> int:
    """The whole number under `key`. Raises `RecordError`."""
    if type(found := value.get(key)) is not int:
        raise RecordError(f"{key} must be a whole number, but is {found!r:.40}")
    return found


def open_for_append(path: Path) -> IO[str]:
    """Opens a JSON-lines file, whole lines only."""
    cut_torn_line(path)
    return path.open("a", encoding="utf-8")


def cut_torn_line(path: Path) -> None:
    """Cuts off what a killed writer, or a full disk, left of a file's last line."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)


def close_all(files: Iterable[IO[str]]) -> None:
    """Closes every one, then raises what any of them raised: the rest of a line, on a full disk."""
    with ExitStack() as stack:
        for file in files:
            stack.callback(file.close)


def append_line(file: IO[str], line: str) -> None:
    """On the disk when this returns: Optuna's journal must never be ahead of the records."""
    file.write(seal_line(line) + "\n")
    file.flush()
    os.fsync(file.fileno())
