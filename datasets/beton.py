"""Samples into an FFCV file, and the proof that the file holds them.

FFCV's own writing loop hangs for ever when one of its processes fails. Here the processes only
decode; this process alone appends, in order, with FFCV's own pieces. So errors arrive, and the
bytes are the same for any number of workers.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.decode import Broken, Chunk
from datasets.spec import DatasetError

# FFCV brings torch, which takes a second to import: it is imported where it is needed, while the
# decoding processes are already at work.

PAGE_BYTES = 1 << 21
"""The smallest page FFCV takes; an image must fit into one: at most 836 px."""


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
    with _appending(path, count) as append:
        for chunk in chunks:
            for image, label in zip(chunk.pixels, chunk.labels, strict=True):
                append(image, label)
            digest.update(chunk.pixels.tobytes())
            done.append(_without_pixels(chunk))
            advance(len(chunk.labels) + len(chunk.broken))
    return Written(
        labels=np.concatenate([np.empty(0, np.int64), *(c.labels for c in done)]),
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


@contextmanager
def _appending(path: Path, count: int) -> Iterator[Callable[[Any, Any], None]]:
    """A function that appends (image, label); the file is complete when the block ends."""
    from datasets.ffcv_import import (
        DatasetWriter,
        IntField,
        MemoryAllocator,
        RGBImageField,
        handle_sample,
    )

    fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
    writer = DatasetWriter(str(path), fields, page_size=PAGE_BYTES, num_workers=1)
    writer.num_samples = count
    writer.prepare()
    # Shared memory is for FFCV's many processes; here plain memory does, and needs no care.
    writer.metadata_sm.close()
    writer.metadata_sm.unlink()
    metadata = np.zeros(count, dtype=writer.metadata_type)
    writer.metadata_sm = SimpleNamespace(buf=metadata.view(np.uint8).data)
    allocator = MemoryAllocator(str(path), writer.data_region_start, PAGE_BYTES)
    appended = 0

    def append(image: NDArray[np.uint8], label: np.int64) -> None:
        nonlocal appended
        names = writer.metadata_type.names
        handle_sample((image, label), appended, names, metadata, allocator, fields)
        appended += 1

    with allocator:
        yield append
    _all_pages_there(path, allocator)
    writer.header["num_samples"] = appended
    writer.finalize(allocator.allocations)


def _all_pages_there(path: Path, allocator: Any) -> None:
    """FFCV doesn't look how much of a page `write` took: on a full disk it may be a part."""
    expected = allocator.offset + allocator.next_page_written.value * PAGE_BYTES
    if path.stat().st_size < expected:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def verify_beton(path: Path, written: Written, size: int) -> FileFacts:
    """Reads the whole file back, without mapping it, and compares it to what was written.

    Raises `DatasetError` when labels, shapes or pixels differ.
    """
    from datasets.ffcv_import import Reader

    reader = Reader(str(path))
    images, labels = reader.metadata["f0"], reader.metadata["f1"]
    good = (
        np.array_equal(labels, written.labels)
        and bool(np.all(images["mode"] == 1))
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
