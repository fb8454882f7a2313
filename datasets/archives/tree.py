"""Opens a source without extracting it: a folder or a zip archive."""

import hashlib
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

from datasets.archives.limits import LARGEST_FILE_BYTES, is_damage, limit_error, max_unpacked_bytes
from datasets.archives.tar import TarTree
from datasets.archives.zip_entries import ZipEntries, locate_entries
from datasets.spec import DatasetError, Tree


class FolderTree:
    """A `FolderTree` is a `Tree` of the files under a folder.

    Linked folders are followed, and each real folder is visited once.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, int] | None = None

    def __reduce__(self) -> tuple[type["FolderTree"], tuple[Path]]:
        return type(self), (self.root,)

    def files(self) -> dict[str, int]:
        """Returns the path and the size in bytes of every visible file, sorted by path."""
        if self._files is None:
            self._files = dict(sorted(self._walk()))
        return self._files

    def _walk(self) -> list[tuple[str, int]]:
        """Returns the paths and sizes of the visible files, in the order of the walk."""
        found = []
        seen: set[str] = set()
        for folder, folders, names in os.walk(self.root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not _is_hidden(name))
            inside = Path(folder).relative_to(self.root)
            for name in names:
                if not _is_hidden(name):
                    size = Path(folder, name).stat().st_size
                    found.append(((inside / name).as_posix(), size))
        return found

    def read(self, path: str) -> bytes:
        """Returns the content of one file. Raises `KeyError` for a path that doesn't exist."""
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(path) from error

    def part(self, paths: Sequence[str]) -> "FolderTree":  # noqa: ARG002 # the root suffices
        """Returns a tree of the whole folder that hasn't listed the folder's files yet.

        Such a tree is cheap to send to another process, and can read the files at `paths`.
        """
        return FolderTree(self.root)


class ZipTree:
    """A `ZipTree` is a `Tree` of the files in a zip archive.

    Each process opens the archive for itself, when it first reads from the tree.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._archive: zipfile.ZipFile | None = None
        self._entries: list[zipfile.ZipInfo] | None = None
        self._files: dict[str, int] | None = None

    def __reduce__(self) -> tuple[type["ZipTree"], tuple[Path]]:
        return type(self), (self.root,)

    @property
    def archive(self) -> zipfile.ZipFile:
        """Returns the open archive. Raises `DatasetError` for a file that is no zip archive."""
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
        """Returns the entries of the visible files, sorted by path."""
        if self._entries is None:
            all_of_them = self.archive.infolist()
            visible = [e for e in all_of_them if not e.is_dir() and not _is_hidden(e.filename)]
            self._entries = sorted(visible, key=lambda entry: entry.filename)
        return self._entries

    def files(self) -> dict[str, int]:
        """Returns the path and the size in bytes of every visible file, sorted by path."""
        if self._files is None:
            self._files = {entry.filename: entry.file_size for entry in self.entries()}
        return self._files

    def read(self, path: str) -> bytes:
        """Returns the content of one file.

        Raises `KeyError` for an unknown path, and `DatasetError` for a damaged entry.
        """
        try:
            return self.archive.read(path)
        except Exception as error:
            if isinstance(error, KeyError) or not is_damage(error):
                raise
            raise DatasetError(
                f"{path} in {self.root} is damaged ({error}); download or copy the archive again."
            ) from error

    def part(self, paths: Sequence[str]) -> Tree:
        """Returns a tree that reads these files by their positions in the archive.

        If an entry uses a rare compression method, this function returns the whole tree instead.
        """
        found = locate_entries([self.archive.getinfo(path) for path in paths])
        return self if found is None else ZipEntries(self.root, found)


def open_tree(path: Path) -> Tree:
    """Returns the tree at `path`, a folder or a zip archive.

    Raises `DatasetError` for a missing path and for a file that is no zip archive. Raises
    `DatasetError` also for an archive that unpacks to far more than its size, or with an entry that
    would land outside its folder, is a link, is encrypted or is too large.
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
    if whole > max_unpacked_bytes(path.stat().st_size):
        raise limit_error(path, f"its {path.stat().st_size:,} bytes unpack to {whole:,}")
    return tree


def fingerprint(tree: Tree) -> str:
    """Returns a sha256 that tells sources apart without reading their files.

    For a folder, the hash covers every path and size; for a zip archive, it also covers every
    CRC-32; for a tar.gz archive, it covers the archive's size and CRC-32. So two folders look the
    same if their files differ in content but not in size.
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


def _is_hidden(path: str) -> bool:
    """Returns whether a part of the path begins with a dot or is macOS's `__MACOSX`."""
    framed = f"/{path}/"
    return "/." in framed or "/__MACOSX/" in framed


def _fault(entry: zipfile.ZipInfo) -> str | None:
    """Returns what makes an entry unacceptable, as the end of a sentence, or `None`."""
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
