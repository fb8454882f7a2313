"""A source of files, read where it lies: an extracted folder or a zip archive."""

import hashlib
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

from datasets.archives.limits import LARGEST_FILE_BYTES, is_damage, limit_error, most_bytes
from datasets.archives.tar import TarTree
from datasets.archives.zip_entries import ZipEntries, locate_entries
from datasets.spec import DatasetError, Tree


class FolderTree:
    """The files under a folder. Linked folders are followed, each real folder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, int] | None = None

    def __reduce__(self) -> tuple[type["FolderTree"], tuple[Path]]:
        return type(self), (self.root,)

    def files(self) -> dict[str, int]:
        """Every file's path and size in bytes, in sorted order; hidden ones left out."""
        if self._files is None:
            self._files = dict(sorted(self._walk()))
        return self._files

    def _walk(self) -> list[tuple[str, int]]:
        found = []
        seen: set[str] = set()
        for folder, folders, names in os.walk(self.root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not _hidden(name))
            inside = Path(folder).relative_to(self.root)
            for name in names:
                if not _hidden(name):
                    size = Path(folder, name).stat().st_size
                    found.append(((inside / name).as_posix(), size))
        return found

    def read(self, path: str) -> bytes:
        """The content of one file. Raises `KeyError` for a path that isn't there."""
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(path) from error

    def part(self, paths: Sequence[str]) -> "FolderTree":  # noqa: ARG002 # a path is enough here
        """The same folder, not walked through."""
        return FolderTree(self.root)


class ZipTree:
    """The files in a zip archive, opened when first read, in each process for itself."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._archive: zipfile.ZipFile | None = None
        self._entries: list[zipfile.ZipInfo] | None = None
        self._files: dict[str, int] | None = None

    def __reduce__(self) -> tuple[type["ZipTree"], tuple[Path]]:
        return type(self), (self.root,)

    @property
    def archive(self) -> zipfile.ZipFile:
        """The open archive. Raises `DatasetError` for a file that is no zip."""
        if self._archive is None:
            try:
                self._archive = zipfile.ZipFile(self.root)
            except Exception as error:
                if not is_damage(error):
                    raise
                raise DatasetError(
                    f"{self.root} is no zip archive or a damaged one ({error}); "
                    "download or copy it again, or pass the extracted folder."
                ) from error
        return self._archive

    def entries(self) -> list[zipfile.ZipInfo]:
        """The visible files' entries, sorted by path."""
        if self._entries is None:
            all_of_them = self.archive.infolist()
            visible = [e for e in all_of_them if not e.is_dir() and not _hidden(e.filename)]
            self._entries = sorted(visible, key=lambda entry: entry.filename)
        return self._entries

    def files(self) -> dict[str, int]:
        """Every file's path and size in bytes, in sorted order; hidden ones left out."""
        if self._files is None:
            self._files = {entry.filename: entry.file_size for entry in self.entries()}
        return self._files

    def read(self, path: str) -> bytes:
        """The content of one file. Raises `KeyError`, or `DatasetError` for a damaged entry."""
        try:
            return self.archive.read(path)
        except Exception as error:
            if isinstance(error, KeyError) or not is_damage(error):
                raise
            raise DatasetError(
                f"{path} in {self.root} is damaged ({error}); download or copy the archive again."
            ) from error

    def part(self, paths: Sequence[str]) -> Tree:
        """These files by their places, or all of them where some are packed in a rare way."""
        found = locate_entries([self.archive.getinfo(path) for path in paths])
        return self if found is None else ZipEntries(self.root, found)


def open_tree(path: Path) -> Tree:
    """The tree at `path`, a folder or a zip archive.

    Raises `DatasetError` for a missing path, for a file that is no zip, and for an archive with
    an entry that would land outside its folder, is a link or is encrypted, or that unpacks to far
    more than it is.
    """
    if path.is_dir():
        return FolderTree(path)
    if not path.is_file():
        raise DatasetError(
            f"The source must be a zip archive or a folder, but {path} is missing; check the path."
        )
    tree = ZipTree(path)
    for entry in tree.archive.infolist():
        fault = _fault(entry)
        if fault:
            raise DatasetError(
                f"{path} is refused: its entry {entry.orig_filename!r} {fault}; "
                "use an archive from a source that you trust."
            )
    whole = sum(entry.file_size for entry in tree.archive.infolist())
    if whole > most_bytes(path.stat().st_size):
        raise limit_error(path, f"its {path.stat().st_size:,} bytes unpack to {whole:,}")
    return tree


def fingerprint(tree: Tree) -> str:
    """A cheap sha256 that tells sources apart without reading them.

    Over every path and size, and in a zip every CRC-32 too; over a tar.gz archive's size and
    CRC-32. A folder's files with other content but the same sizes look the same.
    """
    digest = hashlib.sha256()
    if isinstance(tree, TarTree):
        return tree.fingerprint()
    if isinstance(tree, ZipTree):
        for entry in tree.entries():
            digest.update(f"{entry.filename}\0{entry.file_size}\0{entry.CRC:08x}\n".encode())
    else:
        for path, size in tree.files().items():
            digest.update(f"{path}\0{size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _hidden(path: str) -> bool:
    framed = f"/{path}/"
    return "/." in framed or "/__MACOSX/" in framed


def _fault(entry: zipfile.ZipInfo) -> str | None:
    name = entry.orig_filename
    if "\\" in name or name.startswith("/") or ".." in name.split("/"):
        return "would escape its folder"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a symbolic link"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.file_size > LARGEST_FILE_BYTES:
        return f"unpacks to {entry.file_size:,} bytes"
    return None
