"""Reads a few large files from a tar.gz archive without extracting it."""

import gzip
import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from datasets.archives.limits import LARGEST_FILE_BYTES, is_damage, limit_error, max_unpacked_bytes
from datasets.spec import DatasetError, Source

_TRAILER_BYTES = 8
"""Every gzip file ends with this many bytes: CRC-32 and size of the uncompressed data."""
MAX_MEMBERS = 10_000
"""An archive may have at most this many members, each of which takes a kilobyte of memory."""
_BLOCK_BYTES = 1 << 20
"""The archive is read to its end in blocks of this size."""


class _BoundedGzip(gzip.GzipFile):
    """A `_BoundedGzip` reads a gzip file, and raises `DatasetError` when too much is unpacked.

    The limit is `max_unpacked_bytes` of the file's size.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path, self._max_bytes = path, max_unpacked_bytes(path.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._max_bytes - self.tell(), 0) + 1
        data = super().read(left if size is None or size < 0 else min(size, left))
        self._check(self.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check(offset)
        return super().seek(offset, whence)

    def _check(self, position: int) -> None:
        """Raises `DatasetError` if this position in the unpacked data, in bytes, is beyond the
        limit.
        """
        if position > self._max_bytes:
            raise limit_error(self._path, f"it unpacks to more than {self._max_bytes:,} bytes")


class TarTree(Source):
    """A `TarTree` is the source of the files in a tar.gz archive.

    Each `read` unpacks the archive up to the file that it returns. Links and devices in the archive
    count as absent. Nothing is ever extracted to the disk.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, int] | None = None

    def files(self) -> dict[str, int]:
        """Returns the path and the size in bytes of every file, sorted by path.

        The first call unpacks the whole archive, so that gzip compares the checksum. Raises
        `DatasetError` for a file that is no tar.gz archive or a damaged one.
        """
        if self._files is None:
            with self._open() as (stream, archive):
                found = {m.name.removeprefix("./"): m.size for m in self._files_in(archive)}
                while stream.read(_BLOCK_BYTES):
                    pass
            self._files = dict(sorted(found.items()))
        return self._files

    def read(self, path: str) -> bytes:
        """Returns the content of one file.

        Raises `KeyError` for an unknown path, and `DatasetError` for a damaged archive.
        """
        with self._open() as (_, archive):
            for member in self._files_in(archive):
                if member.name.removeprefix("./") == path:
                    file = archive.extractfile(member)
                    assert file is not None
                    return file.read()
        raise KeyError(path)

    def part(self, paths: Sequence[str]) -> "TarTree":  # noqa: ARG002 # the root suffices
        """Returns another tree of the whole archive, because a tar.gz archive can't be divided."""
        return TarTree(self.root)

    def fingerprint(self) -> str:
        """Returns a sha256 over the archive's size and its stored CRC-32, which isn't verified
        here.
        """
        with self.root.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TRAILER_BYTES))
            return hashlib.sha256(f"{size}\0".encode() + file.read()).hexdigest()

    def _files_in(self, archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        """Yields the archive's regular files.

        Raises `DatasetError` for a file above the size limit, and for too many members.
        """
        for number, member in enumerate(archive, 1):
            if number > MAX_MEMBERS:
                raise limit_error(self.root, f"it has more than {MAX_MEMBERS:,} members")
            if member.size > LARGEST_FILE_BYTES:
                raise limit_error(self.root, f"{member.name!r} in it has {member.size:,} bytes")
            if member.isfile():
                yield member

    @contextmanager
    def _open(self) -> Iterator[tuple[gzip.GzipFile, tarfile.TarFile]]:
        """Opens the archive, and turns the errors of a damaged archive into `DatasetError`."""
        try:
            with (
                _BoundedGzip(self.root) as stream,
                tarfile.open(fileobj=stream, mode="r:") as archive,
            ):
                yield stream, archive
        except Exception as error:
            if isinstance(error, KeyError) or not is_damage(error):
                raise
            raise DatasetError(
                f"{self.root} is no tar.gz archive or a damaged one ({error}); "
                "download or copy it again, or pass the extracted folder."
            ) from error
