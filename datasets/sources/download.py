"""An archive from the internet, whole or not at all: resumed, its size and md5 checked."""

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
ATTEMPTS = 5
"""Tries in a row that bring not one byte, before giving up."""
BLOCK_BYTES = 1 << 18


def fetch(archive: Archive, to: Path, timeout_s: float = TIMEOUT_S) -> Path:
    """Downloads `archive` to the file `to`, unless it is there with the right size.

    What a broken connection leaves is kept beside it, and the next call goes on from there.
    Raises `DatasetError` when the host can't be reached, the disk is too small, or the content
    isn't what was published.
    """
    with lock_folder(to.parent):
        if to.is_file() and to.stat().st_size == archive.size_bytes:
            return to
        partial = to.with_name(f"{to.name}.partial")
        _enough_space(archive, partial)
        _download(archive, partial, timeout_s)
        with partial.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        if md5.hexdigest() != archive.md5:
            partial.unlink()
            raise DatasetError(
                f"{archive.url} must have md5 {archive.md5}, but what came has "
                f"{md5.hexdigest()} and was removed; run it again, or {_elsewhere(archive)}."
            )
        partial.replace(to)
    return to


def _enough_space(archive: Archive, partial: Path) -> None:
    missing = archive.size_bytes - _size(partial)
    if lacking := describe_lacking_space(partial.parent, missing):
        raise DatasetError(lacking)


def _download(archive: Archive, partial: Path, timeout_s: float) -> None:
    """Fills `partial` up to the published size, over as many connections as it takes."""
    if _size(partial) > archive.size_bytes:
        partial.unlink()
    idle = 0
    with progress(archive.url, archive.size_bytes, "bytes", start=_size(partial)) as advance:
        while (before := _size(partial)) < archive.size_bytes:
            try:
                _continue(archive, partial, timeout_s, advance)
                reason = "the connection was closed"
            except urllib.error.HTTPError as error:
                raise _unreachable(archive, f"HTTP status {error.code}") from error
            except (HTTPException, OSError) as error:
                if is_full(error):
                    raise _full(partial.parent) from error
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            idle = 0 if _size(partial) > before else idle + 1
            if idle == ATTEMPTS or (idle and before == 0):
                raise _unreachable(archive, reason)


def _continue(
    archive: Archive, partial: Path, timeout_s: float, advance: Callable[[int], None]
) -> None:
    """One connection: appends what the server sends from where the file ends."""
    start = _size(partial)
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(archive.url, headers=headers)  # noqa: S310 # http(s), ours
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
    while most > 0 and (block := response.read1(min(BLOCK_BYTES, most))):
        write(block)
        most -= len(block)
        advance(len(block))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _full(folder: Path) -> DatasetError:
    return DatasetError(
        f"The disk that holds {folder} is full; free some space and run the same command again, "
        "it goes on where it stopped."
    )


def _unreachable(archive: Archive, reason: str) -> DatasetError:
    return DatasetError(
        f"{archive.url} can't be downloaded ({reason}); run the same command when the network "
        f"is there, it goes on where it stopped, or {_elsewhere(archive)}."
    )


def _elsewhere(archive: Archive) -> str:
    name = archive.url.rsplit("/", 1)[-1]
    return f"download it on another machine, copy it here and add --source {name}"
