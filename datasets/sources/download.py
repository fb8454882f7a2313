"""Downloads an archive completely or not at all, resumes, and checks its size and MD5."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from common.files import describe_lacking_space, is_full, lock_folder
from common.progress_bar import progress
from datasets.spec import Archive, DatasetError

TIMEOUT_S = 30.0
"""A connection fails if the server sends nothing for this many seconds."""
ATTEMPTS = 5
"""The download gives up after this many attempts in a row that brought not one byte."""
BLOCK_BYTES = 1 << 18
"""The download reads at most this many bytes at once."""


def fetch(archive: Archive, to: Path, timeout_s: float = TIMEOUT_S) -> Path:
    """Downloads `archive` to the file `to`, unless that file exists with the right size; returns
    `to`.

    A broken connection leaves a partial file beside `to`, and the next call continues from there.
    Raises `DatasetError` if the host can't be reached, the disk is too small, or the content isn't
    what was published.

    timeout_s: how many seconds a connection may be silent.
    """
    with lock_folder(to.parent):
        if to.is_file() and to.stat().st_size == archive.size_bytes:
            return to
        partial = to.with_name(f"{to.name}.partial")
        _check_space(archive, partial)
        _download(archive, partial, timeout_s)
        with partial.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        if md5.hexdigest() != archive.md5:
            partial.unlink()
            raise DatasetError(
                f"{archive.url} must have md5 {archive.md5}, but what came has "
                f"{md5.hexdigest()} and was removed; run it again, or {_manual_remedy(archive)}."
            )
        partial.replace(to)
    return to


def _check_space(archive: Archive, partial: Path) -> None:
    """Raises `DatasetError` if the disk has less free space than what is still to be downloaded."""
    missing = archive.size_bytes - _size(partial)
    if lacking := describe_lacking_space(partial.parent, missing):
        raise DatasetError(lacking)


def _download(archive: Archive, partial: Path, timeout_s: float) -> None:
    """Fills `partial` up to the published size, over as many connections as that takes.

    Raises `DatasetError` for an HTTP error, a full disk, or after `ATTEMPTS` fruitless attempts.
    """
    if _size(partial) > archive.size_bytes:
        partial.unlink()
    idle = 0
    with progress(archive.url, archive.size_bytes, "bytes", start=_size(partial)) as advance:
        while (before := _size(partial)) < archive.size_bytes:
            try:
                _resume(archive, partial, timeout_s, advance)
                reason = "the connection was closed"
            except urllib.error.HTTPError as error:
                raise _unreachable_error(archive, f"HTTP status {error.code}") from error
            except (HTTPException, OSError) as error:
                if is_full(error):
                    raise _disk_full_error(partial.parent) from error
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            idle = 0 if _size(partial) > before else idle + 1
            if idle == ATTEMPTS or (idle and before == 0):
                raise _unreachable_error(archive, reason)


def _resume(
    archive: Archive, partial: Path, timeout_s: float, advance: Callable[[int], None]
) -> None:
    """Opens one connection and appends what the server sends from the end of the file on.

    A server that can't resume sends everything again, and the file begins anew.
    """
    start = _size(partial)
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(archive.url, headers=headers)  # noqa: S310 # our own addresses
    with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
        resumed = response.status == 206
        if start and not resumed:
            advance(-start)
        with partial.open("ab" if resumed else "wb") as file:
            _copy(response, file.write, archive.size_bytes - (start if resumed else 0), advance)


def _copy(
    response: HTTPResponse,
    write: Callable[[bytes], int],
    most: int,
    advance: Callable[[int], None],
) -> None:
    """Copies at most `most` bytes from a response, and reports the size of each block to
    `advance`.
    """
    while most > 0 and (block := response.read1(min(BLOCK_BYTES, most))):
        write(block)
        most -= len(block)
        advance(len(block))


def _size(path: Path) -> int:
    """Returns the size of a file in bytes: 0 if the file is missing."""
    return path.stat().st_size if path.exists() else 0


def _disk_full_error(folder: Path) -> DatasetError:
    """Returns the error that tells the user that the disk of `folder` is full."""
    return DatasetError(
        f"The disk that holds {folder} is full; free some space and run the same command again, "
        "it goes on where it stopped."
    )


def _unreachable_error(archive: Archive, reason: str) -> DatasetError:
    """Returns the error that tells the user that the archive can't be downloaded, and why."""
    return DatasetError(
        f"{archive.url} can't be downloaded ({reason}); run the same command when the network "
        f"is there, it goes on where it stopped, or {_manual_remedy(archive)}."
    )


def _manual_remedy(archive: Archive) -> str:
    """Returns advice to download the archive on another machine and to pass its path."""
    name = archive.url.rsplit("/", 1)[-1]
    return f"download it on another machine, copy it here and add --source {name}"
