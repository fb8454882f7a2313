"""Keeps all images of a beton in one tensor on a device, and gathers batches from that tensor.

This is for GPUs, where copying each batch costs more than gathering it. The batches equal those of
`datasets.loading.loader`, as the GPU benchmark verifies. On an H200 beside 16 cores, a ResNet-18
that trained 35,500 images of 64 px a second, in batches of 64, waited 3 % of an epoch for such
batches and 9 % for copied ones.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from datasets.loading.checks import check_beton, file_identity
from datasets.loading.loader import Batches, batches, epoch_order
from datasets.splits import Split

_READ_BATCH = 1024
"""The file is read onto the device in batches of this many images."""


@dataclass(frozen=True, slots=True)
class _ResidentImages:
    """A `_ResidentImages` holds a file's images and labels on a device.

    beton: the file.
    identity: the file's identity, see `file_identity`; a replaced file has another one.
    images: uint8 (n, H, W, 3).
    labels: int64 (n,).
    """

    beton: Path
    identity: tuple[int, int, int]
    images: torch.Tensor
    labels: torch.Tensor


_residents: dict[torch.device, _ResidentImages] = {}
"""This cache holds the images of one file on each device, until those of another are read there."""


def resident_batches(
    split: Split,
    batch_size: int,
    *,
    order_seed: int | None,
    drop_last: bool,
    device: torch.device,
) -> Batches:
    """Yields the same batches as `datasets.loading.loader.batches`, in the same order, on `device`.

    The first call of a process reads the whole file. The images stay on the device until those of
    another file are read there, in one copy for all splits and trials. Raises `DatasetError` for a
    file that is incomplete or damaged, or too small for the split, and torch's error if memory runs
    out, after which the device holds no images.
    """
    count = check_beton(split.beton)
    order = epoch_order(split, count, batch_size, order_seed=order_seed, drop_last=drop_last)
    resident = _resident(split.beton, count, device)
    return _gather(resident, torch.from_numpy(order).to(device), batch_size)


def is_resident(beton: Path, device: torch.device) -> bool:
    """Returns whether the images of the file, in its present state, are on `device` already."""
    cached = _residents.get(_place(device))
    return cached is not None and (cached.beton, cached.identity) == (beton, file_identity(beton))


def _place(device: torch.device) -> torch.device:
    """Returns the device with its number, so that `cuda` and `cuda:0` have the same images."""
    return torch.empty(0, device=device).device


def _gather(resident: _ResidentImages, order: torch.Tensor, batch_size: int) -> Batches:
    """Yields batches gathered from the resident images in the given order.

    order: int64 (n,), on the device.
    """
    for chosen in order.split(batch_size):  # type: ignore[no-untyped-call]
        yield resident.images.index_select(0, chosen), resident.labels.index_select(0, chosen)


def _resident(beton: Path, count: int, device: torch.device) -> _ResidentImages:
    """Returns the images of a file on `device`, and reads them first if they aren't there."""
    if not is_resident(beton, device):
        _residents.pop(_place(device), None)  # two files might not fit beside each other
        _residents[_place(device)] = _read(beton, count, device)
    return _residents[_place(device)]


def _read(beton: Path, count: int, device: torch.device) -> _ResidentImages:
    """Reads all `count` images and labels of a beton, and returns them as tensors on `device`."""
    everything = Split(name="all", beton=beton, indices=np.arange(count))
    images, count_read = torch.empty(0, dtype=torch.uint8), 0
    labels = torch.empty(count, dtype=torch.int64, device=device)
    for pixels, numbers in batches(everything, _READ_BATCH, order_seed=None, drop_last=False):
        if not count_read:
            images = torch.empty((count, *pixels.shape[1:]), dtype=torch.uint8, device=device)
        images[count_read : count_read + len(pixels)] = pixels.to(device)
        labels[count_read : count_read + len(pixels)] = numbers.to(device)
        count_read += len(pixels)
    return _ResidentImages(beton, file_identity(beton), images, labels)
