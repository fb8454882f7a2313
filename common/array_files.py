"""Reads the arrays of an `.npz` file, after what it claims has been compared with its size."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_RATIO, _ALLOWANCE_BYTES = 200, 1 << 26
"""A file may unpack to 64 MiB and 200 times its own size."""


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Returns the arrays by name, after the checksum of each was compared.

    Raises `OSError`, `zipfile.BadZipFile`, and `ValueError` for a wrong checksum, for a pickle, and
    for an array or a file that claims to be larger than it can be.
    """
    # numpy trusts an array's header before it has compared the checksum.
    with zipfile.ZipFile(path) as archive:
        whole = sum(entry.file_size for entry in archive.infolist())
        if whole > _ALLOWANCE_BYTES + _MAX_RATIO * path.stat().st_size:
            raise ValueError(f"it unpacks to {whole:,} bytes")
        for entry in archive.infolist():
            _check_claim(archive, entry)
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} in it is wrong")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _check_claim(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Raises `ValueError` for an array with more elements than its entry has bytes for."""
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > entry.file_size:
        raise ValueError(f"{entry.filename} in it claims {math.prod(shape):,} values")
