"""Batches where they are trained on: streamed there one ahead, or gathered from what lies there.

Everything about GPUs here is not yet measured on one.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import torch

from datasets.loading.loader import Batches, batches
from datasets.loading.resident import is_resident, resident_batches
from datasets.splits import Split

RESIDENT_SHARE = 0.4
"""Of a GPU's free memory, what a dataset may take to be kept there."""

Batch = tuple[torch.Tensor, torch.Tensor]
_Started = TypeVar("_Started")


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchFeeder:
    """Gives a split's batches on `device`.

    resident: whether a file may stay on a GPU, as uint8, when it takes less than
    `RESIDENT_SHARE` of the free memory. Say no where other trials share the GPU.
    """

    device: torch.device
    resident: bool = True

    def batches(
        self, split: Split, batch_size: int, *, order_seed: int | None, drop_last: bool
    ) -> Batches:
        """As `datasets.loading.loader.batches`, whatever the way, with the tensors on the
        device.
        """
        if self._may_stay(split):
            return resident_batches(
                split, batch_size, order_seed=order_seed, drop_last=drop_last, device=self.device
            )
        source = batches(split, batch_size, order_seed=order_seed, drop_last=drop_last)
        if self.device.type != "cuda":
            return source
        copies = _Copies(self.device)
        return one_ahead(source, copies.start, copies.finish)

    def _may_stay(self, split: Split) -> bool:
        if not self.resident or self.device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        fits = split.beton.stat().st_size < RESIDENT_SHARE * free
        return is_resident(split.beton, self.device) or fits


def one_ahead(
    source: Batches, start: Callable[[Batch], _Started], finish: Callable[[_Started], Batch]
) -> Batches:
    """The batches of `source`, each started on its way before the one before it is given."""
    with closing(source):
        started: _Started | None = None
        for batch in source:
            upcoming = start(batch)
            if started is not None:
                yield finish(started)
            started = upcoming
        if started is not None:
            yield finish(started)


class _Copies:
    """Copies to a GPU through pinned memory, on a stream beside the one that trains."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def start(self, batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(self._stream):
            pixels, labels = (
                tensor.pin_memory().to(self._device, non_blocking=True) for tensor in batch
            )
            return (pixels, labels), self._stream.record_event()

    def finish(self, started: tuple[Batch, torch.cuda.Event]) -> Batch:
        batch, arrived = started
        training = torch.cuda.current_stream(self._device)
        training.wait_event(arrived)
        for tensor in batch:
            tensor.record_stream(training)  # its memory isn't reused while a step still reads it
        return batch
