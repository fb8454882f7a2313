"""What must hold of a beton before it is mapped into memory."""

import os
from pathlib import Path

import numpy as np

from datasets.beton_format import ALLOCATION, HEADER, VERSION
from datasets.spec import DatasetError


def identity(path: Path) -> tuple[int, int, int]:
    """Tells the file that lies at `path` now from one that replaces it."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def check_beton(path: Path) -> int:
    """The number of samples in a complete file, from its first bytes and its size.

    A mapped file that is too short kills the process (SIGBUS) or yields nothing, so this runs
    before anything is mapped. Raises `DatasetError` for a missing, half-written or cut file.
    """
    remedy = "make it anew with `python -m datasets.prepare NAME --overwrite`."
    try:
        with path.open("rb") as file:
            head = file.read(HEADER.itemsize)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DatasetError(f"{path} can't be read ({error.strerror}); {remedy}") from error
    if len(head) < HEADER.itemsize:
        raise DatasetError(f"{path} is cut short at {size} bytes; {remedy}")
    header = np.frombuffer(head, dtype=HEADER)[0]
    table, count = int(header["alloc_table_ptr"]), int(header["num_samples"])
    if header["version"] != VERSION or header["num_fields"] != 2 or table == 0 or count == 0:
        raise DatasetError(f"{path} is half-written or no beton; {remedy}")
    if size != table + count * ALLOCATION.itemsize:
        raise DatasetError(f"{path} is cut short at {size} bytes; {remedy}")
    return count
