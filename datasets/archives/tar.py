"""A tar.gz archive as a source of a few large files, read where it lies."""

import gzip
import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from datasets.archives.limits import LARGEST_FILE_BYTES, is_damage, limit_error, most_bytes
from datasets.spec import DatasetError

_TRAILER_BYTES = 8
"""At the end of every gzip file: CRC-32 and size of what was packed."""
_BLOCK_BYTES = 1 << 20


class _Bounded(gzip.GzipFile):
    """Unpacks an archive as far as an honest one goes. Raises `DatasetError` beyond."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path, self._most = path, most_bytes(path.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._most - self.tell(), 0) + 1
        data = super().read(left if size is None or size < 0 else min(size, left))
        self._check(self.tell())
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check(offset)
        return super().seek(offset, whence)

    def _check(self, position: int) -> None:
        if position > self._most:
            raise limit_error(self._path, f"it unpacks to more than {self._most:,} bytes")


class TarTree:
    """The files in a tar.gz archive. Each `read` unpacks the archive up to that file.

    Links and devices in it count as absent, and nothing is ever extracted to the disk.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, int] | None = None

    def files(self) -> dict[str, int]:
        """Every file's path and size in bytes, in sorted order.

        Unpacks the whole archive when first called, so that its checksum is compared. Raises
        `DatasetError` for what is no tar.gz archive or a damaged one.
        """
        if self._files is None:
            with self._open() as (stream, archive):
                found = {m.name.removeprefix("./"): m.size for m in self._files_in(archive)}
                while stream.read(_BLOCK_BYTES):
                    pass
            self._files = dict(sorted(found.items()))
        return self._files

    def read(self, path: str) -> bytes:
        """The content of one file. Raises `KeyError`, or `DatasetError` as `files` does."""
        with self._open() as (_, archive):
            for member in self._files_in(archive):
                if member.name.removeprefix("./") == path:
                    file = archive.extractfile(member)
                    assert file is not None
                    return file.read()
        raise KeyError(path)

    def part(self, paths: Sequence[str]) -> "TarTree":  # noqa: ARG002 # a path is enough here
        """The same archive."""
        return TarTree(self.root)

    def fingerprint(self) -> str:
        """A sha256 of the archive's size and its checksum, which isn't compared."""
        with self.root.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TRAILER_BYTES))
            return hashlib.sha256(f"{size}\0".encode() + file.read()).hexdigest()

    def _files_in(self, archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        for member in archive:
            if member.size > LARGEST_FILE_BYTES:
                raise limit_error(self.root, f"{member.name!r} in it has {member.size:,} bytes")
            if member.isfile():
                yield member

    @contextmanager
    def _open(self) -> Iterator[tuple[gzip.GzipFile, tarfile.TarFile]]:
        try:
            with _Bounded(self.root) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
                yield stream, archive
        except Exception as error:
            if isinstance(error, KeyError) or not is_damage(error):
                raise
            raise DatasetError(
                f"{self.root} is no tar.gz archive or a damaged one ({error}); "
                "download or copy it again, or pass the extracted folder."
            ) from error
