"""Decodes samples chunk by chunk, in this process or in a pool of processes.

The processes write pixels into shared memory, so only labels and sums are sent between them.
"""

import ctypes
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.signals import follow_parent, shield_children
from datasets.beton.decode import Chunk, chunk_images, decode_chunk
from datasets.spec import Sample, Tree

CHUNKS_AHEAD = 4
"""At most this many chunks per worker are decoded ahead of their use."""

Decode = Callable[[Sequence[Sample], int | None], Iterator[Chunk]]
"""A function of this type decodes samples, with a white as `decode_image` takes it, and yields
chunks in the order of the samples.
"""


@contextmanager
def open_decoder(tree: Tree, size: int, workers: int) -> Iterator[Decode]:
    """Yields a function that decodes samples into chunks, in order, in `workers` processes.

    A chunk's pixels are valid until the next chunk is requested. The caller must consume all chunks
    before it calls the function again. With one worker, this process decodes. At most
    `CHUNKS_AHEAD` chunks per worker are decoded ahead. If a worker dies, the iterator raises
    `BrokenProcessPool`.

    size: side of the decoded images in pixels.
    """
    chunk = (chunk_images(size), size, size, 3)
    if workers == 1:
        pixels = np.empty(chunk, dtype=np.uint8)
        yield lambda samples, white: (
            decode_chunk(_files(tree, part), part, pixels, white)
            for part in _parts(samples, chunk[0])
        )
        return
    # Workers are spawned, because forking a process that runs torch's threads is not safe.
    context = multiprocessing.get_context("spawn")
    shape = (CHUNKS_AHEAD * workers, *chunk)
    # The memory has no name and is inherited by the workers, so the system frees it with the last
    # process, however that process ends.
    with shield_children():  # a pool starts a process that keeps track of its semaphores
        shared = context.RawArray(ctypes.c_uint8, int(np.prod(shape)))
        pool = ProcessPoolExecutor(workers, context, _start_worker, (shared, shape))
    try:
        slots = _slots(shared, shape)
        yield lambda samples, white: _decode_in_order(
            pool, tree, _parts(samples, chunk[0]), slots, white
        )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _slots(shared: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Returns the shared memory as uint8 (slots, images in a chunk, size, size, 3)."""
    return np.frombuffer(shared, dtype=np.uint8).reshape(shape)


def _parts(samples: Sequence[Sample], length: int) -> Iterator[Sequence[Sample]]:
    """Yields consecutive parts of the samples, `length` at a time; the last part may be shorter."""
    return (samples[start : start + length] for start in range(0, len(samples), length))


def _files(tree: Tree, samples: Sequence[Sample]) -> Tree:
    """Returns a part of the tree that can read the files of these samples."""
    return tree.part([sample.path for sample in samples])


def _decode_in_order(
    pool: ProcessPoolExecutor,
    tree: Tree,
    parts: Iterator[Sequence[Sample]],
    slots: NDArray[np.uint8],
    white: int | None,
) -> Iterator[Chunk]:
    """Yields the chunks of all parts in order, decoded by the pool into slots of shared memory.

    At first, one part is submitted per slot. Later, the slot of each used chunk takes the next
    part.

    slots: uint8 (slots, images in a chunk, size, size, 3).
    """
    numbers = count()

    def submit(part: Sequence[Sample]) -> tuple[int, Future[Chunk]]:
        """Sends a part to the pool and returns the number of its slot and its future."""
        slot = next(numbers) % len(slots)
        with shield_children():  # the pool starts a process here where it has too few
            return slot, pool.submit(_decode_in_worker, _files(tree, part), part, slot, white)

    waiting = deque(submit(part) for part in islice(parts, len(slots)))
    while waiting:
        slot, future = waiting.popleft()
        chunk = future.result()
        yield replace(chunk, pixels=slots[slot, : len(chunk.labels)])
        waiting.extend(submit(part) for part in islice(parts, 1))


_worker: NDArray[np.uint8] | None = None
"""A worker process sets this to the shared memory; in the parent it stays `None`."""


def _start_worker(shared: Any, shape: tuple[int, ...]) -> None:
    """Prepares a worker process: maps the shared memory and follows its parent.

    shared, shape: the memory, and the shape of the pixels in this memory.
    """
    global _worker
    _worker = _slots(shared, shape)
    follow_parent()


def _decode_in_worker(
    files: Tree, samples: Sequence[Sample], slot: int, white: int | None
) -> Chunk:
    """Decodes a part into its slot, and returns the chunk without its pixels."""
    assert _worker is not None
    chunk = decode_chunk(files, samples, _worker[slot], white)
    return replace(chunk, pixels=chunk.pixels[:0].copy())
