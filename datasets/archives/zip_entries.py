"""Some files of a zip archive, read by their places, without its table of contents.

The table of a large archive takes longer to read than many of its images. It is read once; other
processes get the few places that they need.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.spec import DatasetError

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER = struct.Struct("<26xHH")
"""Lengths of the name and of the extra field, which lie between the header and the data."""
_MARGIN = 128
"""Bytes read beyond the header and the data for name and extra field, to read once as a rule."""


class DamageError(Exception):
    """A file's bytes aren't what the table of contents says."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """Where a file lies in an archive, and what its bytes must be."""

    offset: int
    packed_bytes: int
    bytes: int
    method: int
    crc32: int


class ZipEntries:
    """A `Tree` of some of an archive's files, all of them packed by one of `METHODS`."""

    def __init__(self, root: Path, places: Mapping[str, ZipEntry]) -> None:
        self.root = root
        self._places = places
        self._descriptor: int | None = None

    def __reduce__(self) -> tuple[type["ZipEntries"], tuple[Path, Mapping[str, ZipEntry]]]:
        return type(self), (self.root, self._places)

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def files(self) -> dict[str, int]:
        """Every file's path and size in bytes, in sorted order."""
        return {path: place.bytes for path, place in sorted(self._places.items())}

    def read(self, path: str) -> bytes:
        """The content of one file. Raises `KeyError`, or `DatasetError` for a damaged one."""
        place = self._places[path]
        if self._descriptor is None:
            self._descriptor = os.open(self.root, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _unpack(_packed(self._descriptor, place), place)
        except (DamageError, zlib.error) as error:
            raise DatasetError(
                f"{path} in {self.root} is damaged ({error}); download or copy the archive again."
            ) from error

    def part(self, paths: Sequence[str]) -> "ZipEntries":
        """The tree of these files only."""
        return ZipEntries(self.root, {path: self._places[path] for path in paths})


def locate_entries(entries: Sequence[zipfile.ZipInfo]) -> dict[str, ZipEntry] | None:
    """Where the entries lie; `None` where one is packed by another method than `METHODS`."""
    if any(entry.compress_type not in METHODS for entry in entries):
        return None
    return {
        entry.filename: ZipEntry(
            entry.header_offset,
            entry.compress_size,
            entry.file_size,
            entry.compress_type,
            entry.CRC,
        )
        for entry in entries
    }


def _packed(descriptor: int, place: ZipEntry) -> bytes:
    block = os.pread(descriptor, _LOCAL_HEADER.size + _MARGIN + place.packed_bytes, place.offset)
    if len(block) < _LOCAL_HEADER.size or not block.startswith(b"PK\x03\x04"):
        raise DamageError("its header is missing")
    name, extra = _LOCAL_HEADER.unpack_from(block)
    start = _LOCAL_HEADER.size + name + extra
    data = block[start : start + place.packed_bytes]
    if name + extra > _MARGIN:
        data = os.pread(descriptor, place.packed_bytes, place.offset + start)
    if len(data) < place.packed_bytes:
        raise DamageError("the archive ends within it")
    return data


def _unpack(data: bytes, place: ZipEntry) -> bytes:
    if place.method == zipfile.ZIP_DEFLATED:
        # One byte more than expected is enough to see that a file is too long.
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, place.bytes + 1)
    if len(data) != place.bytes or zlib.crc32(data) != place.crc32:
        raise DamageError("bad CRC-32 or length")
    return data
