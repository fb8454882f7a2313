"""Image files into arrays of one size, chunk by chunk, in this process or in a pool of them."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from datasets.spec import Sample, Tree

CHUNK_BYTES = 2 << 20
"""Decoded bytes that travel at once: 170 images of 64 px."""

AHEAD = 8
"""Chunks decoded ahead for each worker."""

_LEVELS = np.stack([np.arange(256), np.arange(256) ** 2], axis=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """An image that couldn't be decoded, and what the decoder said."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Chunk:
    """Decoded images in their order, broken ones left out.

    pixels: uint8 (n, size, size, 3), RGB. labels: int64 (n,).
    moments: int64 (n, 3, 2), the sum and the sum of squares of each image's channels.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    moments: NDArray[np.int64]
    broken: tuple[Broken, ...]


def decode_image(data: bytes, size: int) -> Image.Image:
    """One RGB image of `size` × `size` pixels.

    Grayscale, palette and CMYK are converted, transparency is laid on white, EXIF orientation
    applied; of an animation the first frame counts. Another size is resampled (bicubic,
    antialiased) so that the short side fits, and the middle is cut out of the long side.
    Raises whatever Pillow raises for a broken file, and `ValueError` for an empty one, an
    unknown format, and a mode without a known range.
    """
    if not data:
        raise ValueError("the file is empty")
    try:
        image: Image.Image = Image.open(BytesIO(data))
    except UnidentifiedImageError:
        raise ValueError("no image format that Pillow knows") from None
    # JPEGs of cameras decode up to eight times faster when libjpeg scales them down first.
    image.draft(None, (2 * size, 2 * size))
    if image.info.get("exif"):
        image = ImageOps.exif_transpose(image)
    image = _to_rgb(image)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no known range")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    # An RGB image comes back as it is, but loaded: a truncated file is found here.
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def decode_chunk(tree: Tree, samples: Sequence[Sample], size: int) -> Chunk:
    """Reads and decodes some samples; broken ones are named, not raised."""
    pixels = np.empty((len(samples), size, size, 3), dtype=np.uint8)
    moments = np.empty((len(samples), 3, 2), dtype=np.int64)
    labels: list[int] = []
    broken: list[Broken] = []
    for sample in samples:
        try:
            image = decode_image(tree.read(sample.path), size)
        except MemoryError:
            raise
        # Pillow and zipfile raise a dozen types for broken content: all mean the same here.
        except Exception as error:
            broken.append(Broken(path=sample.path, reason=str(error) or type(error).__name__))
            continue
        kept = len(labels)
        pixels[kept] = np.asarray(image)
        moments[kept] = np.asarray(image.histogram()).reshape(3, 256) @ _LEVELS
        labels.append(sample.label)
    n = len(labels)
    return Chunk(
        pixels=pixels[:n],
        labels=np.asarray(labels, dtype=np.int64),
        moments=moments[:n],
        broken=tuple(broken),
    )


@contextmanager
def decoder(
    tree: Tree, size: int, workers: int
) -> Iterator[Callable[[Sequence[Sample]], Iterator[Chunk]]]:
    """A function that decodes samples into chunks, in order, in `workers` processes.

    With one worker everything happens in this process. No more than a few chunks for each
    worker are ever decoded ahead. A worker that dies raises `BrokenProcessPool`.
    """
    if workers == 1:
        yield lambda samples: (decode_chunk(tree, part, size) for part in _chunks(samples, size))
        return
    # spawn: forking a process that holds torch and its threads is not safe.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker, (tree, size)
    )
    try:
        yield lambda samples: _in_order(pool, _chunks(samples, size), ahead=AHEAD * workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    length = max(1, CHUNK_BYTES // (3 * size * size))
    return (samples[start : start + length] for start in range(0, len(samples), length))


def _in_order(
    pool: ProcessPoolExecutor, chunks: Iterator[Sequence[Sample]], ahead: int
) -> Iterator[Chunk]:
    """Starts at once with the first chunks; each one taken lets one more begin."""
    waiting = deque(pool.submit(_decode_in_worker, chunk) for chunk in islice(chunks, ahead))
    return _take(pool, chunks, waiting)


def _take(
    pool: ProcessPoolExecutor, chunks: Iterator[Sequence[Sample]], waiting: deque[Future[Chunk]]
) -> Iterator[Chunk]:
    while waiting:
        yield waiting.popleft().result()
        for chunk in islice(chunks, 1):
            waiting.append(pool.submit(_decode_in_worker, chunk))


_worker: tuple[Tree, int] | None = None


def _start_worker(tree: Tree, size: int) -> None:
    global _worker
    _worker = (tree, size)
    # Ctrl-C reaches the whole process group: the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Ends this worker when its parent was killed: the pool's queues alone wouldn't."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _decode_in_worker(samples: Sequence[Sample]) -> Chunk:
    assert _worker is not None
    tree, size = _worker
    return decode_chunk(tree, samples, size)
