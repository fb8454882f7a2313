"""Copies files to and from folders at a shared path or in an object store, such as S3 and GCS."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from common.errors import UserError
from common.files import open_atomically

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_PIECE_BYTES = 8 << 20
"""A copy moves this many bytes with each read and write: 8 MiB."""
_SILENCE_S = 120.0
"""A request to an S3 store fails after this many seconds without an answer."""

_FLAT = ("s3", "gcs", "abfs")
"""These file systems of pyarrow (S3, Google Cloud Storage and Azure) have no folders, so that none
has to be created before a file is written.
"""


class RemoteError(UserError):
    """Reports a place that can't be opened; the message names its address and the remedy."""


class Place(Protocol):
    """Stands for a folder, here or elsewhere, from which files are fetched and in which files are
    stored.

    File names contain no folders. Every method raises `OSError` when the transfer fails.
    """

    def fetch(self, name: str, to: Path) -> bool:
        """Copies the file `name` to the local path `to`, completely or not at all. Returns whether
        the place holds a file of that name.
        """

    def keep(self, path: Path, name: str) -> None:
        """Copies the local file `path` to the place as `name`, completely or not at all, and
        replaces a file of that name.
        """

    def drop(self, name: str) -> None:
        """Removes the file `name` from the place, if it is there."""


class UriPlace:
    """Stands for a folder at an absolute path, or at a URI of any file system that pyarrow or
    fsspec knows.

    Credentials come from the environment or from the configuration of the store's own tools. The
    file system is opened at the first use, and an instance pickles as its URI alone. Opening raises
    `RemoteError` for a URI that neither library can open.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/") if "?" not in uri else uri
        self._opened: tuple[FileSystem, str] | None = None

    def __getstate__(self) -> str:
        return self.uri

    def __setstate__(self, uri: str) -> None:
        self.uri, self._opened = uri, None

    def __str__(self) -> str:
        return self.uri

    def below(self, *names: str) -> "UriPlace":
        """Returns the subfolder of this place with the path `names`; a URI contains `%20` for a
        blank.
        """
        path, mark, query = self.uri.partition("?")
        names = tuple(map(quote, names)) if "://" in path else names
        return UriPlace("/".join([path.rstrip("/"), *names]) + mark + query)

    def fetch(self, name: str, to: Path) -> bool:
        """Copies the file `name` to the local path `to`, as `Place.fetch` describes."""
        system, folder = self._open()
        path = f"{folder}/{name}"
        if not system.get_file_info(path).is_file:
            return False
        with system.open_input_stream(path) as source, open_atomically(to) as file:
            shutil.copyfileobj(source, file, _PIECE_BYTES)
        return True

    def keep(self, path: Path, name: str) -> None:
        """Copies the local file `path` to the place as `name`, as `Place.keep` describes.

        An object store completes an upload even when writing it failed. Therefore the file is
        uploaded under a temporary name, its size is compared, and only then is it renamed.
        """
        system, folder = self._open()
        if system.type_name not in _FLAT:
            system.create_dir(folder, recursive=True)
        partial = f"{folder}/.{name}.{os.uname().nodename}-{os.getpid()}.tmp"
        try:
            with path.open("rb") as source, system.open_output_stream(partial) as stream:
                shutil.copyfileobj(source, stream, _PIECE_BYTES)
            arrived, sent = system.get_file_info(partial).size, path.stat().st_size
            if arrived != sent:
                raise OSError(f"{sent} bytes were sent to {self.uri}, but {arrived} arrived")
            system.move(partial, f"{folder}/{name}")
        except BaseException:
            with suppress(OSError):
                system.delete_file(partial)
            raise

    def drop(self, name: str) -> None:
        """Removes the file `name` from the place, as `Place.drop` describes."""
        system, folder = self._open()
        if system.get_file_info(f"{folder}/{name}").is_file:
            system.delete_file(f"{folder}/{name}")

    def names(self) -> set[str]:
        """Returns the names of all files in the folder; the set is empty where the folder doesn't
        exist.
        """
        from pyarrow.fs import FileSelector

        system, folder = self._open()
        listed = system.get_file_info(FileSelector(folder, allow_not_found=True))
        return {info.base_name for info in listed if info.is_file}

    def _open(self) -> "tuple[FileSystem, str]":
        if self._opened is None:
            self._opened = _file_system(self.uri)
        return self._opened


def _file_system(uri: str) -> "tuple[FileSystem, str]":
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    try:
        system, path = FileSystem.from_uri(uri)
    except ArrowInvalid:
        import fsspec

        try:
            other, path = fsspec.core.url_to_fs(uri)
        except (ValueError, ImportError) as error:
            raise RemoteError(
                f"{uri} must be an absolute path or a URI that pyarrow or fsspec can open "
                f"({error}); install what it needs on every node, or use s3:// or a shared path."
            ) from error
        system = PyFileSystem(FSSpecHandler(other))
    return _with_timeout(system), path.rstrip("/")


def _with_timeout(system: "FileSystem") -> "FileSystem":
    """Returns the file system with a request timeout of `_SILENCE_S` seconds, if it is S3.

    S3 copies a large object without sending a byte meanwhile, and pyarrow (26.0.1) reports an error
    after a few seconds of silence. A URI has no option for the timeout.
    """
    if system.type_name != "s3":
        return system
    rebuild, (options,) = system.__reduce__()
    rebuilt: FileSystem = rebuild(options | {"request_timeout": _SILENCE_S})
    return rebuilt


def is_place(text: str) -> bool:
    """Returns whether `text` can name a place on every node: an absolute path, or a URI that
    contains no user part and no credential in its query.
    """
    if "://" not in text:
        return text.startswith("/")
    authority, _, rest = text.partition("://")[2].partition("/")
    keys = re.search(r"(key|secret|token|password|signature)\w*=", rest, re.IGNORECASE)
    scheme = re.match(r"[a-z][a-z0-9+.-]*://", text)
    return scheme is not None and "@" not in authority and keys is None
