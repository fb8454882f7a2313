"""Keeps what trainings compute for a dataset's images: an array a file, with a row for each image.

A file is written some rows at a time. Rows that were written before their process ended stay, also
after a kill but for those of the last seconds, and the next process goes on after them. All files
together have a budget; those that were used longest ago make room.
"""

import io
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from common.files import (
    find_existing,
    is_full,
    lock_folder,
    remove_leftovers,
    write_text_atomically,
)

FILE, PART, ROWS = "outputs.npy", "outputs.part", "rows"
"""An array is the file `FILE` of a folder of its own. While rows are missing, it is `PART` instead,
and `ROWS` says how many are safe on the disk.
"""

BUDGET_BYTES = 32 << 30
"""Kept outputs take at most this many bytes of a disk, and at most half of what would be free
without them.
"""

SAVE_EVERY_S = 10.0
"""Rows are made safe after so many seconds of writing; a power failure takes no more."""


def read_outputs(path: Path) -> NDArray[Any] | None:
    """Returns the array in a file, read from the disk when it is used, or `None` where the file is
    missing or damaged. The file counts as used now.
    """
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    return found


class OutputWriter:
    """An `OutputWriter` appends rows to an array that isn't complete; see `write_outputs`.

    rows: how many rows the array has so far.
    """

    def __init__(self, file: IO[bytes], count: Path, rows: int) -> None:
        self._file, self._count, self.rows = file, count, rows
        self._saved_at = time.monotonic()

    def append(self, rows: NDArray[Any]) -> None:
        """Writes further rows, of the array's type and shape. Raises `OSError`."""
        self._file.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)
        if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Makes the rows safe, so that they outlive this process and the machine. Raises
        `OSError`.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        write_text_atomically(self._count, str(self.rows))
        self._saved_at = time.monotonic()


@contextmanager
def write_outputs(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Iterator[OutputWriter]:
    """Writes an array during a block, after the rows that an earlier block has left, in a folder
    that this process has locked.

    Where all rows are there at the end of the block, the file `path` is complete; else, also after
    an error, the rows so far are kept, unless the disk is full. Raises `OSError`.
    """
    remove_leftovers(path.parent)
    part, count = path.with_name(PART), path.with_name(ROWS)
    header = _header(shape, dtype)
    row_bytes = dtype.itemsize * int(np.prod(shape[1:]))
    rows = _safe_rows(part, header, row_bytes)
    with part.open("r+b" if rows else "wb") as file:
        if not rows:
            count.unlink(missing_ok=True)
            file.write(header)
        file.truncate(len(header) + rows * row_bytes)
        file.seek(0, os.SEEK_END)
        writer = OutputWriter(file, count, rows)
        try:
            try:
                yield writer
            finally:
                writer.save()
        except OSError as error:
            if is_full(error):
                error.filename = error.filename or str(path.parent)  # not always the run's disk
                part.unlink(missing_ok=True)  # the search's own records are worth more
            raise
    if writer.rows == shape[0]:
        part.replace(path)
        count.unlink(missing_ok=True)


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    written = io.BytesIO()
    npy.write_array_header_1_0(
        written, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
    return written.getvalue()


def _safe_rows(part: Path, header: bytes, row_bytes: int) -> int:
    """Returns how many rows of an incomplete array can be gone on after; 0 where it is missing or
    damaged.
    """
    with suppress(OSError, ValueError):
        rows = int(part.with_name(ROWS).read_text(encoding="utf-8"))
        with part.open("rb") as file:
            begins = file.read(len(header)) == header
        if begins and 0 < rows <= (part.stat().st_size - len(header)) // row_bytes:
            return rows
    return 0


def room_for(root: Path) -> int:
    """Returns how many bytes the kept outputs may take together in the folder `root`, which need
    not exist yet.
    """
    return _room(root, _kept(root))


def make_room(root: Path, needed: int, besides: Path) -> None:
    """Removes files of outputs until there is room for as many bytes more. Those in the folder
    `besides` stay, and those that are being written. A training that reads a removed file goes on
    reading it.
    """
    kept = _kept(root)
    room, total = _room(root, kept), needed + sum(each.st_size for each in kept.values())
    for path, each in kept.items():
        if total <= room:
            return
        if path.parent.parent == besides:
            continue
        with (
            lock_folder(path.parent, wait=False) if path.name == PART else nullcontext(True) as free
        ):
            if free:
                path.unlink(missing_ok=True)
                total -= each.st_size


def _kept(root: Path) -> dict[Path, os.stat_result]:
    """Returns the files of outputs, those that were used longest ago first. One that another
    process removes meanwhile may lack.
    """
    found = dict[Path, os.stat_result]()
    for name in (FILE, PART):
        for path in root.glob(f"*/*/{name}"):
            with suppress(FileNotFoundError):
                found[path] = path.stat()
    return dict(sorted(found.items(), key=lambda each: each[1].st_mtime))


def _room(root: Path, kept: dict[Path, os.stat_result]) -> int:
    taken = sum(each.st_size for each in kept.values())
    return min(BUDGET_BYTES, (shutil.disk_usage(find_existing(root)).free + taken) // 2)
