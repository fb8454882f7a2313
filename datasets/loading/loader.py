"""Reads batches of images from a beton through FFCV, which decodes; augmentation happens elsewhere.

FFCV compiles a pipeline for every `Loader`. So a process has one loader per file, for all splits,
batch sizes and trials; each epoch states what it reads, and in what order, when it starts.
Pipelines are compiled only once that pays off: a short search ends sooner without.
"""

import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.loading.checks import REMEDY, check_beton, check_rows, file_identity
from datasets.loading.epoch import Epoch
from datasets.loading.ffcv_import import (
    Compiler,
    IntDecoder,
    Loader,
    SimpleRGBImageDecoder,
    Squeeze,
    ToTensor,
)
from datasets.spec import DatasetError
from datasets.splits import Split

DEADLINE_S = 60.0
"""Reading fails if no batch comes for this many seconds."""

COMPILE_AFTER = 70_000
"""Pipelines are compiled once this process has read so many images.

On a Zen 4 core, compiling takes 1.2 s; reading an image takes 22 µs before and 5 µs after. At this
number of images, compiling has cost as much as it saves. Batches for a GPU are compiled at once:
the reading thread's Python would take turns with the thread that starts the GPU's operations.
"""

READ_AT_ONCE = 512
"""For a GPU, at least so many images are read together and then divided into batches.

FFCV takes about 1 ms of Python for each batch that it reads, whatever its size. On a Zen 4 core,
compiled pipelines read 52,000 to 70,000 images/s in batches of 64, and 240,000 to 315,000 in
batches of 512.
"""

Batches = Generator[tuple[torch.Tensor, torch.Tensor], None, None]
"""A generator of this type yields images, uint8 (B, H, W, 3), and labels, int64 (B,)."""

_lock = threading.Lock()
"""This lock guards the loaders and the count of images."""
_loaders: dict[Path, tuple["_LoaderKey", Loader]] = {}
"""This cache holds one loader per file, with the key that it was made for."""
_images_requested = 0
"""This counter holds the number of images that this process has asked for."""


def batches(
    split: Split,
    batch_size: int,
    *,
    order_seed: int | None,
    drop_last: bool,
    for_gpu: bool = False,
    deadline_s: float = DEADLINE_S,
) -> Batches:
    """Yields one pass over a split: images, uint8 (B, H, W, 3), and labels, int64 (B,), on the CPU.

    The caller owns the tensors, and may leave the pass at any time: closing or dropping the
    generator ends its thread.

    Raises `DatasetError` at once for a beton that is missing, half-written, truncated or too small
    for the indices. Raises `DatasetError` during the pass if reading fails or gives no batch for
    `deadline_s` seconds.

    order_seed: `None` keeps the split's order; a number alone determines the shuffled order.
    drop_last: whether to leave out a smaller last batch.
    for_gpu: whether a GPU copies the batches, which then lie in pinned memory.
    """
    loader = _loader(split.beton, compiled=for_gpu)
    count = loader.reader.num_samples
    order = epoch_order(split, count, batch_size, order_seed=order_seed, drop_last=drop_last)
    _count_images(len(order))
    if not for_gpu:
        return _read_epoch(loader, order, batch_size, deadline_s, pinned=False)
    at_once = -(-READ_AT_ONCE // batch_size) * batch_size
    return _divide(_read_epoch(loader, order, at_once, deadline_s, pinned=True), batch_size)


def epoch_order(
    split: Split, count: int, batch_size: int, *, order_seed: int | None, drop_last: bool
) -> NDArray[np.int64]:
    """Returns which images of a file with `count` images an epoch reads, in its order: int64 (n,).

    Raises `DatasetError` if the split asks for images beyond `count`, or `batch_size` is below 1.
    """
    if batch_size < 1:
        raise DatasetError(f"batch_size must be ≥ 1, but got batch_size={batch_size}.")
    order = np.ascontiguousarray(split.indices, dtype=np.int64)
    if order_seed is not None:
        order = np.random.default_rng(order_seed).permutation(order)
    if len(order) and not 0 <= order.min() <= order.max() < count:
        raise DatasetError(
            f"{split.beton} has {count} images, but {split.name} asks for "
            f"number {order.max()}; {REMEDY}"
        )
    return order[: len(order) // batch_size * batch_size] if drop_last else order


def _read_epoch(
    loader: Loader,
    order: NDArray[np.int64],
    batch_size: int,
    deadline_s: float,
    *,
    pinned: bool,
) -> Batches:
    """Yields the batches of one epoch and stops the reading thread at the end."""
    with _lock:
        epoch = Epoch(loader, order, batch_size, pinned=pinned)
    try:
        while (batch := epoch.next_batch(deadline_s)) is not None:
            yield batch
    finally:
        epoch.stop(deadline_s)


def _divide(source: Batches, batch_size: int) -> Batches:
    """Yields the batches of `source` in pieces of `batch_size` images, which divides theirs."""
    with closing(source):
        for images, labels in source:
            pieces = torch.split(images, batch_size), torch.split(labels, batch_size)
            yield from zip(*pieces, strict=True)


@dataclass(frozen=True, slots=True)
class _LoaderKey:
    """A `_LoaderKey` says what a loader was made for.

    file: the identity of the file, see `file_identity`.
    compiled: whether its pipelines are compiled.
    """

    file: tuple[int, int, int]
    compiled: bool


def _count_images(images: int) -> None:
    """Adds `images` to the number of images that this process has asked for."""
    global _images_requested
    with _lock:
        _images_requested += images


def _loader(beton: Path, *, compiled: bool) -> Loader:
    """Returns the loader for a file in its present state; a replaced file gets a new loader.

    Raises `DatasetError` for a file that is incomplete or damaged.

    compiled: whether its pipelines are compiled now, rather than after `COMPILE_AFTER` images. What
    is compiled stays so.
    """
    count = check_beton(beton)
    file = file_identity(beton)
    with _lock:
        cached = _loaders.get(beton)
        compiled |= _images_requested >= COMPILE_AFTER or bool(cached and cached[0].compiled)
        key = _LoaderKey(file, compiled=compiled)
        if cached is None or cached[0] != key:
            check_rows(beton, count)
            Compiler.set_enabled(key.compiled)
            cached = _loaders[beton] = (key, _new_loader(beton))
        return cached[1]


def _new_loader(beton: Path) -> Loader:
    """Builds FFCV's loader for a beton of raw images and labels."""
    return Loader(
        str(beton),
        batch_size=1,  # each epoch sets its own
        num_workers=1,  # one reads 40,000 images/s; several clash with numba's threads
        os_cache=True,  # all processes share one copy in the page cache
        seed=0,  # without a seed, FFCV draws one from numpy's global generator
        drop_last=False,
        pipelines={
            "image": [SimpleRGBImageDecoder(), ToTensor()],
            "label": [IntDecoder(), ToTensor(), Squeeze(1)],
        },
    )
