"""Writes samples into an FFCV file and verifies that the file holds them.

FFCV's own writing loop hangs for ever when one of its processes fails. Here the processes only
decode, and this process alone appends to the file, in order. So errors reach the caller, and the
bytes are the same for any number of workers.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from datasets.beton.decode import DIGEST_BYTES, BrokenImage, Chunk
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
class BetonContents:
    """A `BetonContents` describes the images that were written into a beton.

    labels: int64 (n,), the class of each image.
    moments: int64 (n, 3, 2), the sum and the sum of squares of each image's channels.
    digests: uint8 (n, 20), the SHA-1 of each image's pixels.
    decoded: bool (m,), which of the samples became images.
    peaks: float64 (k,), the largest value of each image with more than 8 bits a channel.
    pixels_sha256: sha256 over the pixels of all images, in order.
    broken: the images that were left out because they couldn't be decoded.
    """

    labels: NDArray[np.int64]
    moments: NDArray[np.int64]
    digests: NDArray[np.uint8]
    decoded: NDArray[np.bool_]
    peaks: NDArray[np.float64]
    pixels_sha256: str
    broken: tuple[BrokenImage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """A `FileFacts` holds a file's size in bytes and its sha256."""

    bytes: int
    sha256: str


def beton_bytes(count: int, size: int) -> int:
    """Returns an upper bound of a beton's size in bytes, exact to two pages and 8 bytes an image.

    count: number of images.
    size: side of the images in pixels.
    """
    images_a_page = PAGE_BYTES // (3 * size * size)
    return (-(-count // images_a_page) + 2) * PAGE_BYTES + 64 * count


def write_beton(
    path: Path, chunks: Iterable[Chunk], count: int, advance: Callable[[int], None]
) -> BetonContents:
    """Appends the images of all chunks to a new file at `path`, and returns what was written.

    Raises `OSError` (also for a full disk) and whatever `chunks` raises; the file is then unusable.

    count: the largest number of images that the chunks may hold.
    advance: this function receives the number of samples of each chunk, broken images included.
    """
    digest = hashlib.sha256()
    finished: list[Chunk] = []
    size = 0
    with path.open("wb") as file:
        file.write(bytes(pages_start(count)))
        pages = _Pages(file)
        for chunk in chunks:
            size = chunk.pixels.shape[1]
            pages.append(chunk.pixels)
            digest.update(chunk.pixels.data)
            finished.append(_without_pixels(chunk))
            advance(len(chunk.labels) + len(chunk.broken))
        pages.flush()
        labels = np.concatenate([np.empty(0, np.int64), *(c.labels for c in finished)])
        _finish(file, labels, count, size)
    no_digests = np.empty((0, DIGEST_BYTES), np.uint8)
    return BetonContents(
        labels=labels,
        moments=np.concatenate([np.empty((0, 3, 2), np.int64), *(c.moments for c in finished)]),
        digests=np.concatenate([no_digests, *(c.digests for c in finished)]),
        decoded=np.concatenate([np.empty(0, np.bool_), *(c.decoded for c in finished)]),
        peaks=np.concatenate([np.empty(0, np.float64), *(c.peaks for c in finished)]),
        pixels_sha256=digest.hexdigest(),
        broken=tuple(broken for c in finished for broken in c.broken),
    )


def _without_pixels(chunk: Chunk) -> Chunk:
    """Returns the chunk without its pixels, so that they don't stay in memory."""
    return replace(chunk, pixels=chunk.pixels[:0].copy())


class _Pages:
    """A `_Pages` collects images of one size in a page and writes the page when it is full."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._page = np.zeros(PAGE_BYTES, dtype=np.uint8)
        self._filled = 0

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Appends images to the current page, and writes each page that becomes full.

        pixels: uint8 (n, size, size, 3), C-contiguous.
        """
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
        """Writes the current page, padded with zeros, unless the page is empty."""
        if self._filled:
            self._page[self._filled :] = 0
            self._file.write(self._page.data)
            self._filled = 0


def _finish(file: IO[bytes], labels: NDArray[np.int64], count: int, size: int) -> None:
    """Writes the allocation table, the metadata, and last the header, which makes the file a beton.

    count: number of metadata rows that the file has room for.
    size: side of the images in pixels.
    """
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


def verify_beton(path: Path, written: BetonContents, size: int) -> FileFacts:
    """Reads the whole file back, compares it with what was written, and returns its size and
    sha256.

    The file isn't mapped into memory. Raises `DatasetError` if labels, shapes or pixels differ.
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
    """Yields start and end of each run of adjacent images in one block of the file.

    An image never crosses a block, because a block is a page.

    starts: int64 positions of all images in the file, in bytes.
    position, length: where the block begins in the file, and how long it is, in bytes.
    image: size of an image in bytes.
    """
    inside = starts[(starts >= position) & (starts < position + length)] - position
    if len(inside):
        breaks = np.flatnonzero(np.diff(inside) != image) + 1
        for run in np.split(inside, breaks):
            yield int(run[0]), int(run[-1]) + image
