"""Samples into an FFCV file, and the proof that the file holds them.

FFCV's own writing loop hangs for ever when one of its processes fails. Here the processes only
decode; this process alone appends, in order. So errors arrive, and the bytes are the same for any
number of workers.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from datasets.beton.decode import Broken, Chunk
from datasets.beton.format import (
    ALLOCATION,
    HEADER,
    METADATA,
    METADATA_START,
    PAGE_BYTES,
    RAW,
    VERSION,
    field_descriptors,
    pages_start,
)
from datasets.spec import DatasetError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Written:
    """What went into a beton. labels: int64 (n,); moments: int64 (n, 3, 2), see `Chunk`."""

    labels: NDArray[np.int64]
    moments: NDArray[np.int64]
    pixels_sha256: str
    broken: tuple[Broken, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """A file as it lies on disk."""

    bytes: int
    sha256: str


def beton_bytes(count: int, size: int) -> int:
    """An upper bound of the file's size in bytes, exact to two pages and 8 bytes an image."""
    images_a_page = PAGE_BYTES // (3 * size * size)
    return (-(-count // images_a_page) + 2) * PAGE_BYTES + 64 * count


def write_beton(
    path: Path, chunks: Iterable[Chunk], count: int, advance: Callable[[int], None]
) -> Written:
    """Appends the chunks' images to a new file at `path`; at most `count` of them.

    `advance` is called with the number of samples done, broken ones included. Raises
    `OSError` (a full disk included) and whatever `chunks` raises; the file is then worthless.
    """
    digest = hashlib.sha256()
    done: list[Chunk] = []
    size = 0
    with path.open("wb") as file:
        file.write(bytes(pages_start(count)))
        pages = _Pages(file)
        for chunk in chunks:
            size = chunk.pixels.shape[1]
            pages.append(chunk.pixels)
            digest.update(chunk.pixels.data)
            done.append(_without_pixels(chunk))
            advance(len(chunk.labels) + len(chunk.broken))
        pages.flush()
        labels = np.concatenate([np.empty(0, np.int64), *(c.labels for c in done)])
        _finish(file, labels, count, size)
    return Written(
        labels=labels,
        moments=np.concatenate([np.empty((0, 3, 2), np.int64), *(c.moments for c in done)]),
        pixels_sha256=digest.hexdigest(),
        broken=tuple(broken for c in done for broken in c.broken),
    )


def _without_pixels(chunk: Chunk) -> Chunk:
    return Chunk(
        pixels=chunk.pixels[:0].copy(),
        labels=chunk.labels,
        moments=chunk.moments,
        broken=chunk.broken,
    )


class _Pages:
    """Fills pages with images of one size and writes each as it is full."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._page = np.zeros(PAGE_BYTES, dtype=np.uint8)
        self._filled = 0

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """uint8 (n, size, size, 3), C-contiguous."""
        image = 3 * pixels.shape[1] ** 2
        room = PAGE_BYTES // image * image
        rest = pixels.reshape(-1)
        while len(rest):
            taken = min(len(rest), room - self._filled)
            self._page[self._filled : self._filled + taken] = rest[:taken]
            self._filled += taken
            rest = rest[taken:]
            if self._filled == room:
                self.flush()

    def flush(self) -> None:
        """Writes the page begun, if any, padded with zeros."""
        if self._filled:
            self._page[self._filled :] = 0
            self._file.write(self._page.data)
            self._filled = 0


def _finish(file: IO[bytes], labels: NDArray[np.int64], count: int, size: int) -> None:
    """Allocation table, then metadata, and the header last: without it a file is no beton."""
    image = 3 * size * size
    rows = np.zeros(count, dtype=METADATA)
    written = np.arange(len(labels))
    table = np.zeros(len(labels), dtype=ALLOCATION)
    if len(labels):
        a_page = PAGE_BYTES // image
        table["ptr"] = (
            pages_start(count) + written // a_page * PAGE_BYTES + written % a_page * image
        )
    table["sample_id"], table["size"] = written, image
    filled = rows[: len(labels)]
    filled["image"]["mode"] = RAW
    filled["image"]["width"] = filled["image"]["height"] = size
    filled["image"]["data_ptr"] = table["ptr"]
    filled["label"] = labels
    header = np.zeros((), dtype=HEADER)
    header["version"], header["num_fields"], header["page_size"] = VERSION, 2, PAGE_BYTES
    header["num_samples"], header["alloc_table_ptr"] = len(labels), file.tell()
    file.write(table.tobytes())
    file.flush()
    file.seek(HEADER.itemsize)
    file.write(field_descriptors() + rows.tobytes())
    file.flush()
    file.seek(0)
    file.write(header.tobytes())


def verify_beton(path: Path, written: Written, size: int) -> FileFacts:
    """Reads the whole file back, without mapping it, and compares it to what was written.

    Raises `DatasetError` when labels, shapes or pixels differ.
    """
    count = int(np.fromfile(path, dtype=HEADER, count=1)["num_samples"][0])
    rows = np.fromfile(path, dtype=METADATA, count=count, offset=METADATA_START)
    images, labels = rows["image"], rows["label"]
    good = (
        np.array_equal(labels, written.labels)
        and bool(np.all(images["mode"] == RAW))
        and bool(np.all((images["width"] == size) & (images["height"] == size)))
    )
    whole, pixels = hashlib.sha256(), hashlib.sha256()
    starts = images["data_ptr"].astype(np.int64)
    with path.open("rb", buffering=0) as file:
        position = 0
        while block := file.read(PAGE_BYTES):
            whole.update(block)
            for first, last in _runs(starts, position, len(block), 3 * size * size):
                pixels.update(memoryview(block)[first:last])
            position += len(block)
    if not good or pixels.hexdigest() != written.pixels_sha256:
        raise DatasetError(
            f"{path} reads back other than it was written: the disk or the memory is faulty; "
            "check them, or use another --data folder."
        )
    return FileFacts(bytes=path.stat().st_size, sha256=whole.hexdigest())


def _runs(
    starts: NDArray[np.int64], position: int, length: int, image: int
) -> Iterator[tuple[int, int]]:
    """The stretches of images within one block; an image never crosses a page."""
    inside = starts[(starts >= position) & (starts < position + length)] - position
    if len(inside):
        breaks = np.flatnonzero(np.diff(inside) != image) + 1
        for run in np.split(inside, breaks):
            yield int(run[0]), int(run[-1]) + image
