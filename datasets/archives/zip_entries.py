"""Reads some files of a zip archive by their positions, without its table of contents.

The table of a large archive takes longer to read than many of its images. So one process reads the
table, and the others receive only the positions that they need.
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
"""These compression methods can be read here; others need Python's `zipfile`."""
_LOCAL_HEADER = struct.Struct("<26xHH")
"""The local header ends with the lengths of the name and the extra field, which precede the
data.
"""
_MARGIN = 128
"""This many bytes are read beyond header and data for the name and the extra field.

They nearly always suffice, so that one read per file is enough.
"""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A `ZipEntry` says where a file lies in an archive, and what its bytes must be.

    offset: position of the local header in the archive, in bytes.
    packed_bytes, bytes: size of the compressed and of the uncompressed data.
    method: compression method, one of `METHODS`.
    crc32: checksum of the uncompressed data.
    """

    offset: int
    packed_bytes: int
    bytes: int
    method: int
    crc32: int


class ZipEntries:
    """A `ZipEntries` is a `Tree` of some of an archive's files, all compressed by one of
    `METHODS`.
    """

    def __init__(self, root: Path, entries: Mapping[str, ZipEntry]) -> None:
        self.root = root
        self._entries = entries
        self._descriptor: int | None = None

    def __reduce__(self) -> tuple[type["ZipEntries"], tuple[Path, Mapping[str, ZipEntry]]]:
        return type(self), (self.root, self._entries)

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def files(self) -> dict[str, int]:
        """Returns the path and the size in bytes of every file, sorted by path."""
        return {path: entry.bytes for path, entry in sorted(self._entries.items())}

    def read(self, path: str) -> bytes:
        """Returns the content of one file.

        Raises `KeyError` for an unknown path, and `DatasetError` for a damaged file.
        """
        entry = self._entries[path]
        if self._descriptor is None:
            self._descriptor = os.open(self.root, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _unpack(_read_packed(self._descriptor, entry), entry)
        except (zipfile.BadZipFile, zlib.error) as error:
            raise DatasetError(
                f"{path} in {self.root} is damaged ({error}); download or copy the archive again."
            ) from error

    def part(self, paths: Sequence[str]) -> "ZipEntries":
        """Returns a tree that holds only the files at these paths."""
        return ZipEntries(self.root, {path: self._entries[path] for path in paths})


def locate_entries(entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, ZipEntry] | None:
    """Returns each entry's position by path, or `None` if one uses a method not in `METHODS`."""
    if any(entry.compress_type not in METHODS for entry in entries.values()):
        return None
    return {
        path: ZipEntry(
            entry.header_offset,
            entry.compress_size,
            entry.file_size,
            entry.compress_type,
            entry.CRC,
        )
        for path, entry in entries.items()
    }


def _read_packed(descriptor: int, entry: ZipEntry) -> bytes:
    """Returns the compressed bytes of an entry. Raises `BadZipFile` if the archive lacks them."""
    block = os.pread(descriptor, _LOCAL_HEADER.size + _MARGIN + entry.packed_bytes, entry.offset)
    if len(block) < _LOCAL_HEADER.size or not block.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile("its header is missing")
    name, extra = _LOCAL_HEADER.unpack_from(block)
    start = _LOCAL_HEADER.size + name + extra
    data = block[start : start + entry.packed_bytes]
    if name + extra > _MARGIN:
        data = os.pread(descriptor, entry.packed_bytes, entry.offset + start)
    if len(data) < entry.packed_bytes:
        raise zipfile.BadZipFile("the archive ends within it")
    return data


def _unpack(data: bytes, entry: ZipEntry) -> bytes:
    """Returns the uncompressed bytes of an entry.

    Raises `BadZipFile` if length or CRC-32 differ.
    """
    if entry.method == zipfile.ZIP_DEFLATED:
        # One byte more than expected is enough to see that a file is too long.
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.bytes + 1)
    if len(data) != entry.bytes or zlib.crc32(data) != entry.crc32:
        raise zipfile.BadZipFile("bad CRC-32 or length")
    return data
