"""Decodes samples chunk by chunk, in this process or in a pool of them.

The processes lay pixels down in memory that all of them share; only labels and sums travel.
"""

import ctypes
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.beton.decode import Chunk, chunk_images, decode_chunk
from datasets.spec import Sample, Tree

AHEAD = 4
"""Chunks decoded ahead for each worker."""

Decode = Callable[[Sequence[Sample]], Iterator[Chunk]]


@contextmanager
def open_decoder(tree: Tree, size: int, workers: int) -> Iterator[Decode]:
    """A function that decodes samples into chunks, in order, in `workers` processes.

    A chunk's pixels hold until the next one is asked for; samples are decoded to their end
    before the function is called again. With one worker everything happens in this process.
    No more than a few chunks for each worker are ever decoded ahead. A worker that dies raises
    `BrokenProcessPool`.
    """
    chunk = (chunk_images(size), size, size, 3)
    if workers == 1:
        pixels = np.empty(chunk, dtype=np.uint8)
        yield lambda samples: (
            decode_chunk(_files(tree, part), part, pixels) for part in _parts(samples, chunk[0])
        )
        return
    # spawn: forking a process that holds torch and its threads is not safe.
    context = multiprocessing.get_context("spawn")
    shape = (AHEAD * workers, *chunk)
    # Nameless memory, inherited by the workers: it goes with the last process, however that ends.
    shared = context.RawArray(ctypes.c_uint8, int(np.prod(shape)))
    pool = ProcessPoolExecutor(workers, context, _start_worker, (shared, shape))
    try:
        slots = _slots(shared, shape)
        yield lambda samples: _in_order(pool, tree, _parts(samples, chunk[0]), slots)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _slots(shared: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The shared memory as uint8 (slots, images in a chunk, size, size, 3)."""
    return np.frombuffer(shared, dtype=np.uint8).reshape(shape)


def _parts(samples: Sequence[Sample], length: int) -> Iterator[Sequence[Sample]]:
    return (samples[start : start + length] for start in range(0, len(samples), length))


def _files(tree: Tree, samples: Sequence[Sample]) -> Tree:
    return tree.part([sample.path for sample in samples])


def _in_order(
    pool: ProcessPoolExecutor,
    tree: Tree,
    parts: Iterator[Sequence[Sample]],
    slots: NDArray[np.uint8],
) -> Iterator[Chunk]:
    """Fills all slots at first; each chunk that was taken and used frees its slot for one more."""
    numbers = count()

    def submit(part: Sequence[Sample]) -> tuple[int, Future[Chunk]]:
        slot = next(numbers) % len(slots)
        return slot, pool.submit(_decode_in_worker, _files(tree, part), part, slot)

    waiting = deque(submit(part) for part in islice(parts, len(slots)))
    while waiting:
        slot, future = waiting.popleft()
        chunk = future.result()
        yield replace(chunk, pixels=slots[slot, : len(chunk.labels)])
        waiting.extend(submit(part) for part in islice(parts, 1))


_worker: NDArray[np.uint8] | None = None


def _start_worker(shared: Any, shape: tuple[int, ...]) -> None:
    global _worker
    _worker = _slots(shared, shape)
    # Ctrl-C reaches the whole process group: the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Ends this worker when its parent was killed: the pool's queues alone wouldn't."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _decode_in_worker(files: Tree, samples: Sequence[Sample], slot: int) -> Chunk:
    """The chunk without its pixels, which lie in the slot."""
    assert _worker is not None
    chunk = decode_chunk(files, samples, _worker[slot])
    return replace(chunk, pixels=chunk.pixels[:0].copy())
