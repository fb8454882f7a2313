"""Reads image files as a prepared dataset stores them, in batches, in a few threads.

Threads suffice, because Pillow and libturbojpeg release Python's lock while they decode, and none
of them costs a start. Only a few slices are decoded ahead, so that any number of images takes the
same memory.
"""

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.regular_files import read_regular
from datasets.archives.limits import LARGEST_FILE_BYTES
from datasets.beton.decode import decode_into
from trainables.final_model.inference.image_files import ImageError, LeftOutFile

SLICE_IMAGES = 16
"""A thread reads so many images in a row: fewer cost more in messages than in decoding."""

MOST_THREADS = 4
"""At most so many threads read, since each image may take `DECODING_BYTES` while it is decoded."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageBatch:
    """An `ImageBatch` holds images that were read, and names those that couldn't be.

    paths: the files of the images.
    pixels: uint8 (B, side, side, 3), in the order of `paths`; B may be 0.
    left_out: the files that are no images.
    """

    paths: list[Path]
    pixels: NDArray[np.uint8]
    left_out: list[LeftOutFile]


def read_image(path: Path, side: int, white: int | None) -> NDArray[np.uint8]:
    """Reads an image as a prepared dataset stores it: uint8 (side, side, 3).

    Raises `ImageError`.

    white: see `Description`.
    """
    try:
        data = read_regular(path, LARGEST_FILE_BYTES)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"{path} can't be read: {reason}; check its path and rights.") from error
    pixels = np.empty((side, side, 3), dtype=np.uint8)
    try:
        decode_into(data, pixels, white)
    except Exception as error:  # Pillow raises a dozen types for broken content
        reason = str(error) or type(error).__name__
        raise ImageError(f"{path} must be an image, but {reason}; leave it out.") from error
    return pixels


def read_batches(
    paths: Sequence[Path], side: int, white: int | None, size: int, threads: int
) -> Iterator[ImageBatch]:
    """Yields all images in order, `size` files a batch; the last batch may be smaller.

    side, white: see `read_image`.
    """
    pool = ThreadPoolExecutor(min(threads, MOST_THREADS))
    # Pillow's warnings are turned off in here, because the threads would do so in turns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            slices = iter(
                part for batch in _split(paths, size) for part in _split(batch, SLICE_IMAGES)
            )
            yield from _collect(pool, slices, side, white, size)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


Slice = list[tuple[Path, NDArray[np.uint8] | ImageError]]
"""A list of this type holds the outcome of each file of a slice."""


def _collect(
    pool: ThreadPoolExecutor,
    slices: Iterator[Sequence[Path]],
    side: int,
    white: int | None,
    size: int,
) -> Iterator[ImageBatch]:
    """Yields batches of slices that the pool reads, which is a batch and a few slices ahead."""
    ahead = 2 * MOST_THREADS + -(-size // SLICE_IMAGES)
    waiting = deque[Future[Slice]]()
    outcomes: Slice = []
    more = True
    while more or waiting:
        while more and len(waiting) < ahead:
            part = next(slices, None)
            more = part is not None
            if part is not None:
                waiting.append(pool.submit(_read_slice, part, side, white))
        if waiting:
            outcomes += waiting.popleft().result()
        if len(outcomes) == size or (outcomes and not waiting and not more):
            yield _to_batch(outcomes, side)
            outcomes = []


def _split(paths: Sequence[Path], length: int) -> Iterator[Sequence[Path]]:
    """Yields consecutive parts of `paths`, `length` at a time; the last part may be shorter."""
    return (paths[start : start + length] for start in range(0, len(paths), length))


def _read_slice(paths: Sequence[Path], side: int, white: int | None) -> Slice:
    """Reads some images; an image that can't be read gives its error."""
    outcomes: Slice = []
    for path in paths:
        try:
            outcomes.append((path, read_image(path, side, white)))
        except ImageError as error:
            outcomes.append((path, error))
    return outcomes


def _to_batch(outcomes: Slice, side: int) -> ImageBatch:
    """Returns the outcomes as a batch."""
    good = [(path, image) for path, image in outcomes if not isinstance(image, ImageError)]
    pixels = [image for _, image in good]
    return ImageBatch(
        paths=[path for path, _ in good],
        pixels=np.stack(pixels) if pixels else np.empty((0, side, side, 3), dtype=np.uint8),
        left_out=[
            LeftOutFile(path=str(path), sentence=str(error))
            for path, error in outcomes
            if isinstance(error, ImageError)
        ],
    )
