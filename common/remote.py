"""Files at a shared path or in an object store, by their names there."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from common.errors import UserError
from common.files import open_atomically

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_PIECE_BYTES = 8 << 20
_SILENCE_S = 120.0
"""So long a store may take to answer."""

_FLAT = ("s3", "gcs", "abfs")
"""Object stores as pyarrow calls them: they have no folders that would have to be made."""


class RemoteError(UserError):
    """A place can't be opened; the message names its address and the remedy."""


class Place(Protocol):
    """Where files are fetched from and kept. Names hold no folders. All raise `OSError`."""

    def fetch(self, name: str, to: Path) -> bool:
        """Copies a file here, whole or not at all; false where there is none of that name."""

    def keep(self, path: Path, name: str) -> None:
        """Copies a file there, whole or not at all, over what may be there."""

    def drop(self, name: str) -> None:
        """Removes a file, if there is one."""


class UriPlace:
    """A folder at an absolute path, or at a URI of any file system of pyarrow or fsspec.

    Keys come from the environment, or from where the store's own tools look for them.
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
        """A folder in this one."""
        path, mark, query = self.uri.partition("?")
        return UriPlace("/".join([path.rstrip("/"), *names]) + mark + query)

    def fetch(self, name: str, to: Path) -> bool:
        """See `Place`."""
        system, folder = self._open()
        path = f"{folder}/{name}"
        if not system.get_file_info(path).is_file:
            return False
        with system.open_input_stream(path) as source, open_atomically(to) as file:
            shutil.copyfileobj(source, file, _PIECE_BYTES)
        return True

    def keep(self, path: Path, name: str) -> None:
        """See `Place`. A store completes what was begun even where writing it failed, so that a
        file has its name only once it is known to be whole.
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
        """See `Place`."""
        system, folder = self._open()
        if system.get_file_info(f"{folder}/{name}").is_file:
            system.delete_file(f"{folder}/{name}")

    def names(self) -> set[str]:
        """Of the files that are there."""
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
    return _patient(system), path.rstrip("/")


def _patient(system: "FileSystem") -> "FileSystem":
    """The same, but for S3: there a large file is copied without a word meanwhile, and pyarrow
    (26.0.1) takes a few seconds of silence for an error. An address has no option for that.
    """
    if system.type_name != "s3":
        return system
    rebuild, (options,) = system.__reduce__()
    patient: FileSystem = rebuild(options | {"request_timeout": _SILENCE_S})
    return patient


def is_place(text: str) -> bool:
    """Whether a text can name a place on every node: an absolute path, or a URI without a key."""
    if "://" not in text:
        return text.startswith("/")
    authority, _, rest = text.partition("://")[2].partition("/")
    keys = re.search(r"(key|secret|token|password|signature)\w*=", rest, re.IGNORECASE)
    scheme = re.match(r"[a-z][a-z0-9+.-]*://", text)
    return scheme is not None and "@" not in authority and keys is None
