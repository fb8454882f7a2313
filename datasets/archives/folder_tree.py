"""Lists and reads the files under a folder."""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.regular_files import read_regular
from common.text import printable
from datasets.archives.hidden import hidden_reason
from datasets.archives.limits import LARGEST_FILE_BYTES
from datasets.census.image_formats import has_image_suffix
from datasets.census.left_out import Census, Reason
from datasets.spec import DatasetError, Source


class FolderTree(Source):
    """A `FolderTree` is the source of the files under a folder. Linked folders are followed, but no
    link to a folder that the link lies in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[str, int] | None = None
        self._census = Census()
        self._empty: list[str] = []

    def __reduce__(self) -> tuple[type["FolderTree"], tuple[Path]]:
        return type(self), (self.root,)

    def files(self) -> dict[str, int]:
        """Returns the path and the size in bytes of every visible file, sorted by path.

        A link to a missing file is listed with a size of 0 if its name is an image's. Raises
        `DatasetError` for a folder that can't be read.
        """
        if self._files is None:
            self._files = dict(sorted(self._walk()))
        return self._files

    def census(self) -> Census:
        """Returns what the folder holds and `files` doesn't list, counted by reason."""
        self.files()
        return self._census.copy()

    def empty_folders(self) -> list[str]:
        """Returns the paths, with `/` at their ends, of the folders that hold nothing."""
        self.files()
        return self._empty

    def _walk(self) -> Iterator[tuple[str, int]]:
        """Yields the paths and sizes of the visible files, and counts the rest."""
        start = self.root.stat()
        top: tuple[tuple[int, int], ...] = ((start.st_dev, start.st_ino),)
        waiting = [("", top)]
        while waiting:
            folder, above = waiting.pop()
            entries = _scan(self.root, folder)
            if not entries:
                self._empty.append(folder)
            for entry in entries:
                path = folder + entry.name
                reason = hidden_reason(entry.name) or _special_reason(entry)
                if reason is not None:
                    self._census.add(reason, path)
                elif not entry.is_dir():
                    yield path, 0 if _is_broken_link(entry) else entry.stat().st_size
                elif (found := _identity(entry)) in above:
                    self._census.add(Reason.LOOP, path)
                else:
                    waiting.append((f"{path}/", (*above, found)))

    def read(self, path: str) -> bytes:
        """Returns the content of one file.

        Raises `KeyError` for a path that doesn't exist, and `DatasetError` for a link to nothing,
        for what is no regular file, and for a file above `LARGEST_FILE_BYTES`.
        """
        try:
            return read_regular(self.root / path, LARGEST_FILE_BYTES)
        except FileNotFoundError as error:
            if (self.root / path).is_symlink():
                target = printable(str((self.root / path).readlink()))
                raise DatasetError(f"a link to {target}, which is missing") from error
            raise KeyError(path) from error
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EFBIG):
                raise
            raise DatasetError(f"no file that is read, but {error.strerror}") from error

    def read_head(self, path: str, length: int) -> bytes:
        """Returns the first bytes of a file; the result is empty for a file that can't be read."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(length)
        except OSError:
            return b""

    def part(self, paths: Sequence[str]) -> "FolderTree":  # noqa: ARG002 # the root suffices
        """Returns a tree of the whole folder that hasn't listed the folder's files yet.

        Such a tree is cheap to send to another process, and can read the files at `paths`.
        """
        return FolderTree(self.root)


def _scan(root: Path, folder: str) -> list[os.DirEntry[str]]:
    """Returns what lies in a folder, sorted by name. Raises `DatasetError` if it can't be read."""
    try:
        with os.scandir(root / folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except PermissionError as error:
        raise DatasetError(
            f"The folder {printable(str(root / folder))} can't be read ({error.strerror}), so its "
            "images would be missing; give your user the right to read it, or remove the folder."
        ) from error


def _identity(folder: os.DirEntry[str]) -> tuple[int, int]:
    """Returns the numbers of the device and of the folder on it, which no two folders share."""
    found = folder.stat()
    return found.st_dev, found.st_ino


def _is_broken_link(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not Path(entry).exists()


def _special_reason(entry: os.DirEntry[str]) -> Reason | None:
    """Returns why something that is neither file nor folder isn't listed, or `None` if it is."""
    if entry.is_file() or entry.is_dir():
        return None
    if _is_broken_link(entry):
        return None if has_image_suffix(entry.name) else Reason.BROKEN_LINK
    return Reason.NO_FILE
