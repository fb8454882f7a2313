"""Lists and reads the files in a zip archive, without extracting it."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

from common.text import printable
from datasets.archives.hidden import hidden_reason
from datasets.archives.limits import is_damage
from datasets.archives.zip_entries import ZipEntries, locate_entries
from datasets.archives.zip_names import read_name
from datasets.census.code_pages import FORMAT_OWN, UTF8, CodePage
from datasets.census.left_out import Census, Reason
from datasets.census.names import normalise_entry
from datasets.spec import DatasetError, Source, Tree


class ZipTree(Source):
    """A `ZipTree` is the source of the files in a zip archive.

    Each process opens the archive for itself, when it first reads from the source.

    encoding: the encoding of names that aren't marked as UTF-8; by default it is guessed.
    """

    def __init__(self, root: Path, encoding: str | None = None) -> None:
        self.root, self.encoding = root, encoding
        self._assumed: dict[str, str] = {}
        self._archive: zipfile.ZipFile | None = None
        self._entries: dict[str, zipfile.ZipInfo] | None = None
        self._census = Census()
        self._empty: list[str] = []

    def __reduce__(self) -> tuple[type["ZipTree"], tuple[Path, str | None]]:
        return type(self), (self.root, self.encoding)

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

    def entries(self) -> dict[str, zipfile.ZipInfo]:
        """Returns the entry of each visible file, sorted by path.

        Of several entries with one path, the last counts, as it does when they are extracted.
        """
        if self._entries is None:
            found = dict[str, zipfile.ZipInfo]()
            folders = set[str]()
            for entry in self.archive.infolist():
                path, assumed = entry_path(entry, self.encoding)
                reason = hidden_reason(path)
                if path.endswith("/") or not path:
                    folders |= {path} if path and reason is None else set()
                    continue
                if path in found:
                    reason = Reason.REPLACED
                if reason is not None:
                    self._census.add(reason, path)
                if reason in (None, Reason.REPLACED):
                    found[path] = entry
                    self._assumed |= {path: assumed} if assumed else {}
            full = {path[: end + 1] for path in found for end in _slashes(path)}
            self._empty = sorted(folders - full)
            self._entries = dict(sorted(found.items()))
        return self._entries

    def files(self) -> dict[str, int]:
        """Returns the path and the size in bytes of every visible file, sorted by path."""
        return {path: entry.file_size for path, entry in self.entries().items()}

    def census(self) -> Census:
        """Returns what the archive holds and `files` doesn't list, counted by reason."""
        self.entries()
        return self._census.copy()

    def empty_folders(self) -> list[str]:
        """Returns the paths, with `/` at their ends, of the folders that hold no visible file."""
        self.entries()
        return self._empty

    def code_page(self) -> CodePage | None:
        """Returns in which encoding names were read that aren't marked as UTF-8, if there are any.

        Where two were needed, the format's own is returned, because the other one is certain.
        """
        self.entries()
        for encoding in (self.encoding, FORMAT_OWN, UTF8):
            if names := sorted(path for path, each in self._assumed.items() if each == encoding):
                return CodePage(
                    encoding=self._assumed[names[0]],
                    guessed=self.encoding is None,
                    names=len(names),
                    example=printable(names[0]),
                )
        return None

    def read(self, path: str) -> bytes:
        """Returns the content of one file.

        Raises `KeyError` for an unknown path, and `DatasetError` for a damaged entry.
        """
        entry = self.entries()[path]
        try:
            return self.archive.read(entry)
        except Exception as error:
            if not is_damage(error):
                raise
            raise DatasetError(
                f"{path} in {self.root} is damaged ({error}); download or copy the archive again."
            ) from error

    def read_head(self, path: str, length: int) -> bytes:
        """Returns the first bytes of a file; the result is empty for a damaged one."""
        try:
            with self.archive.open(self.entries()[path]) as file:
                return file.read(length)
        except Exception as error:
            if not is_damage(error):
                raise
            return b""

    def part(self, paths: Sequence[str]) -> Tree:
        """Returns a tree that reads these files by their positions in the archive.

        If an entry uses a rare compression method, this function returns the whole tree instead.
        """
        entries = self.entries()
        found = locate_entries({path: entries[path] for path in paths})
        return self if found is None else ZipEntries(self.root, found)


def entry_path(entry: zipfile.ZipInfo, encoding: str | None) -> tuple[str, str | None]:
    """Returns the path of an archive's entry, with `/` at its end if the entry is a folder, and the
    encoding that was assumed (see `read_name`).

    Raises `ValueError` for an entry that would land outside its folder.
    """
    name, assumed = read_name(entry, encoding)
    return normalise_entry(name), assumed


def _slashes(path: str) -> list[int]:
    """Returns the positions of all `/` in a path."""
    return [position for position, char in enumerate(path) if char == "/"]
