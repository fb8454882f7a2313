"""Checks that a beton is complete and consistent, before it is mapped into memory."""

import os
from pathlib import Path

import numpy as np

from datasets.beton.format import (
    ALLOCATION,
    HEADER,
    METADATA,
    METADATA_START,
    PAGE_BYTES,
    RAW,
    VERSION,
    field_descriptors,
    pages_start,
)
from datasets.spec import DatasetError


def file_identity(path: Path) -> tuple[int, int, int]:
    """Returns values that distinguish the file at `path` from one that replaces it.

    These are inode, size in bytes and time of the last change in ns.
    """
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


REMEDY = (
    "make it anew with `python -m datasets.prepare NAME --data DIR --overwrite`, and with --source "
    "for images of your own."
)
"""Every error about a beton ends with this advice."""


def check_beton(path: Path) -> int:
    """Checks from the first bytes and the size that a file is complete; returns its number of
    samples.

    A process that maps a truncated file is killed (SIGBUS) or reads nothing, so this check runs
    before anything is mapped. Raises `DatasetError` for a missing, half-written or truncated file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEADER.itemsize)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DatasetError(f"{path} can't be read ({error.strerror}); {REMEDY}") from error
    if len(head) < HEADER.itemsize:
        raise DatasetError(f"{path} is cut short at {size} bytes; {REMEDY}")
    header = np.frombuffer(head, dtype=HEADER)[0]
    table, count = int(header["alloc_table_ptr"]), int(header["num_samples"])
    if header["version"] != VERSION or header["num_fields"] != 2 or table == 0 or count == 0:
        raise DatasetError(f"{path} is half-written or no beton; {REMEDY}")
    if size != table + count * ALLOCATION.itemsize:
        raise DatasetError(f"{path} is cut short at {size} bytes; {REMEDY}")
    return count


def check_rows(path: Path, count: int) -> None:
    """Compares the metadata of a file's `count` images, their positions and sizes, with the file.

    FFCV's compiled readers follow any position without a check. Raises `DatasetError` if the
    metadata are wrong.
    """
    with path.open("rb") as file:
        head = np.frombuffer(file.read(HEADER.itemsize), dtype=HEADER)[0]
        fields = file.read(METADATA_START - HEADER.itemsize)
    rows = np.fromfile(path, dtype=METADATA, count=count, offset=METADATA_START)
    table = np.fromfile(path, dtype=ALLOCATION, count=count, offset=int(head["alloc_table_ptr"]))
    image = rows["image"]
    side = int(image["width"][0]) if len(rows) else 0
    first, last = pages_start(count), int(head["alloc_table_ptr"]) - 3 * side * side
    good = (
        len(rows) == len(table) == count
        and side > 0
        and first <= last
        and fields == field_descriptors()
        and head["page_size"] == PAGE_BYTES
        and bool(np.all((image["mode"] == RAW) & (rows["label"] >= 0)))
        and bool(np.all((image["width"] == side) & (image["height"] == side)))
        and bool(np.all((image["data_ptr"] >= first) & (image["data_ptr"] <= last)))
        and np.array_equal(table["ptr"], image["data_ptr"])
        and bool(np.all(table["size"] == 3 * side * side))
    )
    if not good:
        raise DatasetError(f"{path} is damaged: images aren't where it says; {REMEDY}")
