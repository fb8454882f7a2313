"""Brings batches to the device: copied one batch ahead, or gathered from images that stay there."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from datasets.loading.loader import Batches, batches
from datasets.loading.resident import is_resident, resident_batches
from datasets.splits import Split
from trainables.training.memory import (
    free_bytes,
    out_of_memory,
    release_frames,
    release_gpu_memory,
)

RESIDENT_SHARE = 0.4
"""A dataset for which no room is reserved stays on a GPU if its size is below this share of the
GPU's free memory.
"""

Batch = tuple[torch.Tensor, torch.Tensor]
"""A batch consists of images, uint8 (B, H, W, 3), and labels, int64 (B,)."""
_Transfer = TypeVar("_Transfer")


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchFeeder:
    """A `BatchFeeder` yields a split's batches on `device`.

    resident: whether a file's images stay on a GPU, as uint8, because room is reserved for them.
    `None` lets them stay if the file takes less than `RESIDENT_SHARE` of the memory that is free
    for this process. If memory runs out while they are read in, as another process may take it,
    they are streamed as long as this feeder is used; the batches are equal.
    """

    device: torch.device
    resident: bool | None = None
    _streamed: set[Path] = field(default_factory=set, compare=False)

    def batches(
        self, split: Split, batch_size: int, *, order_seed: int | None, drop_last: bool
    ) -> Batches:
        """Yields the same batches as `datasets.loading.loader.batches`, with tensors on the
        device.
        """
        if self._may_stay(split):
            try:
                return resident_batches(
                    split,
                    batch_size,
                    order_seed=order_seed,
                    drop_last=drop_last,
                    device=self.device,
                )
            except Exception as error:
                if not out_of_memory(error):
                    raise
                release_frames(error)
            self._streamed.add(split.beton)
            release_gpu_memory(self.device)
        for_gpu = self.device.type == "cuda"
        return self.to_device(
            batches(split, batch_size, order_seed=order_seed, drop_last=drop_last, for_gpu=for_gpu)
        )

    def to_device(self, source: Batches) -> Batches:
        """Yields batches on the device that `source` yields on the CPU."""
        if self.device.type != "cuda":
            return source
        copies = _Copies(self.device)
        return prefetch_one(source, copies.start, copies.finish)

    def _may_stay(self, split: Split) -> bool:
        """Returns whether the split's file stays on the GPU: its room is reserved, or it is there
        already, or it is small enough.
        """
        if self.device.type != "cuda" or split.beton in self._streamed:
            return False
        if self.resident is not None:
            return self.resident
        fits = split.beton.stat().st_size < RESIDENT_SHARE * free_bytes(self.device)
        return is_resident(split.beton, self.device) or fits


def prefetch_one(
    source: Batches, start: Callable[[Batch], _Transfer], finish: Callable[[_Transfer], Batch]
) -> Batches:
    """Yields the batches of `source`, and starts each transfer before the previous batch is
    yielded. The first batch is yielded before the second is read, so that training begins early.

    start: begins the transfer of a batch.
    finish: waits for a transfer that `start` returned, and returns the batch.
    """
    with closing(source):
        if first := next(source, None):
            yield finish(start(first))
        started: _Transfer | None = None
        for batch in source:
            upcoming = start(batch)
            if started is not None:
                yield finish(started)
            started = upcoming
        if started is not None:
            yield finish(started)


class _Copies:
    """A `_Copies` copies batches from pinned memory to a GPU, on a stream beside the training's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def start(self, batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        """Begins to copy a batch. Returns it with an event that marks the copy's end."""
        with torch.cuda.stream(self._stream):
            pixels, labels = (tensor.to(self._device, non_blocking=True) for tensor in batch)
            return (pixels, labels), self._stream.record_event()

    def finish(self, started: tuple[Batch, torch.cuda.Event]) -> Batch:
        """Makes the training's stream wait for the end of a copy, and returns the copied batch."""
        batch, arrived = started
        training = torch.cuda.current_stream(self._device)
        training.wait_event(arrived)
        for tensor in batch:
            tensor.record_stream(training)  # else its memory is reused too early
        return batch
