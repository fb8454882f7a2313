"""All images of a beton in one tensor on a device, and batches gathered from it there.

For GPUs, where a copy of each batch costs more than a gather; equal to `datasets.loading.loader`
elsewhere, which the tests hold on the CPU. Not yet measured on a GPU.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from datasets.loading.checks import check_beton, file_identity
from datasets.loading.loader import Batches, batches, epoch_order
from datasets.splits import Split

_READ_BATCH = 1024


@dataclass(frozen=True, slots=True)
class _Resident:
    """images: uint8 (n, H, W, 3); labels: int64 (n,); `file_identity` tells a replaced file."""

    identity: tuple[int, int, int]
    images: torch.Tensor
    labels: torch.Tensor


_residents: dict[tuple[Path, torch.device], _Resident] = {}


def resident_batches(
    split: Split,
    batch_size: int,
    *,
    order_seed: int | None,
    drop_last: bool,
    device: torch.device,
) -> Batches:
    """As `datasets.loading.loader.batches`, value for value and in the same order, but on `device`.

    The first call of a process reads the whole file; it stays on the device until the process
    ends, one copy for all splits and trials. Raises `DatasetError` as `batches`.
    """
    count = check_beton(split.beton)
    order = epoch_order(split, count, batch_size, order_seed=order_seed, drop_last=drop_last)
    resident = _resident(split.beton, count, device)
    return _gathered(resident, torch.from_numpy(order).to(device), batch_size)


def is_resident(beton: Path, device: torch.device) -> bool:
    """Whether the file, as it lies there now, is on `device` already."""
    known = _residents.get((beton, device))
    return known is not None and known.identity == file_identity(beton)


def _gathered(resident: _Resident, order: torch.Tensor, batch_size: int) -> Batches:
    for chosen in order.split(batch_size):  # type: ignore[no-untyped-call]
        yield resident.images[chosen], resident.labels[chosen]


def _resident(beton: Path, count: int, device: torch.device) -> _Resident:
    if not is_resident(beton, device):
        _residents.pop((beton, device), None)
        _residents[beton, device] = _read(beton, count, device)
    return _residents[beton, device]


def _read(beton: Path, count: int, device: torch.device) -> _Resident:
    everything = Split(name="all", beton=beton, indices=np.arange(count))
    images, done = torch.empty(0, dtype=torch.uint8), 0
    labels = torch.empty(count, dtype=torch.int64, device=device)
    for pixels, numbers in batches(everything, _READ_BATCH, order_seed=None, drop_last=False):
        if not done:
            images = torch.empty((count, *pixels.shape[1:]), dtype=torch.uint8, device=device)
        images[done : done + len(pixels)] = pixels.to(device)
        labels[done : done + len(pixels)] = numbers.to(device)
        done += len(pixels)
    return _Resident(file_identity(beton), images, labels)
