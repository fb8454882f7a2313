"""Batches of images from a beton, through FFCV: decoded there, augmented elsewhere.

FFCV compiles a pipeline for every `Loader`. Here a process has one loader a file, for every
split, batch size and trial; what an epoch reads, and in what order, is said when it starts.
Nor is anything compiled before that pays: a short search is over sooner without.
"""

import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.loading.checks import check_beton, check_rows, file_identity
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

COMPILE_AFTER = 70_000
"""Images read in this process before the pipelines are compiled. On a Zen 4 core compiling takes
1.2 s, and reading 22 µs an image before and 5 µs after: by then it costs what it saves."""

Batches = Generator[tuple[torch.Tensor, torch.Tensor], None, None]

_lock = threading.Lock()
_loaders: dict[Path, tuple["_Made", Loader]] = {}
_asked_for = 0  # images, by this process


def batches(
    split: Split,
    batch_size: int,
    *,
    order_seed: int | None,
    drop_last: bool,
    deadline_s: float = DEADLINE_S,
) -> Batches:
    """One pass over a split: (uint8 images (B, H, W, 3), int64 labels (B,)) on the CPU.

    The tensors are the caller's own. `order_seed` None keeps the split's order; a number
    shuffles by that number alone. With `drop_last` a smaller last batch is left out. The pass
    may be left at any time: closing the generator, or dropping it, ends its thread.

    Raises `DatasetError` at once for a beton that is missing, half-written, cut short or too
    small for the indices, and while reading when that fails or gives no batch for `deadline_s`
    seconds.
    """
    loader = _loader(split.beton)
    count = loader.reader.num_samples
    order = epoch_order(split, count, batch_size, order_seed=order_seed, drop_last=drop_last)
    _count(len(order))
    return _pass(loader, order, batch_size, deadline_s)


def epoch_order(
    split: Split, count: int, batch_size: int, *, order_seed: int | None, drop_last: bool
) -> NDArray[np.int64]:
    """Which images of a file with `count` of them an epoch reads, in its order.

    Raises `DatasetError` when the split asks for others.
    """
    if batch_size < 1:
        raise DatasetError(f"batch_size must be ≥ 1, but got batch_size={batch_size}.")
    order = np.ascontiguousarray(split.indices, dtype=np.int64)
    if order_seed is not None:
        order = np.random.default_rng(order_seed).permutation(order)
    if len(order) and not 0 <= order.min() <= order.max() < count:
        raise DatasetError(
            f"{split.beton} has {count} images, but {split.name} asks for "
            f"number {order.max()}; make the data anew with --overwrite."
        )
    return order[: len(order) // batch_size * batch_size] if drop_last else order


def _pass(loader: Loader, order: NDArray[np.int64], batch_size: int, deadline_s: float) -> Batches:
    with _lock:
        epoch = Epoch(loader, order, batch_size)
    try:
        while (batch := epoch.next_batch(deadline_s)) is not None:
            yield batch
    finally:
        epoch.leave(deadline_s)


@dataclass(frozen=True, slots=True)
class _Made:
    """What a loader was made for: a file as it lay there, and how it reads."""

    file: tuple[int, int, int]
    compiled: bool


def _count(images: int) -> None:
    global _asked_for
    with _lock:
        _asked_for += images


def _loader(beton: Path) -> Loader:
    """The one loader for a file as it lies there now; a replaced file gets a new one."""
    count = check_beton(beton)
    file = file_identity(beton)
    with _lock:
        wanted = _Made(file, compiled=_asked_for >= COMPILE_AFTER)
        known = _loaders.get(beton)
        if known is None or known[0] != wanted:
            check_rows(beton, count)
            Compiler.set_enabled(wanted.compiled)
            known = _loaders[beton] = (wanted, _new_loader(beton))
        return known[1]


def _new_loader(beton: Path) -> Loader:
    return Loader(
        str(beton),
        batch_size=1,  # said anew for every epoch
        num_workers=1,  # reads 40,000 images/s and more; several clash with numba's threads
        os_cache=True,  # one copy in the page cache for all processes
        seed=0,  # unused, but left out FFCV draws it from numpy's global generator
        drop_last=False,
        pipelines={
            "image": [SimpleRGBImageDecoder(), ToTensor()],
            "label": [IntDecoder(), ToTensor(), Squeeze(1)],
        },
    )
