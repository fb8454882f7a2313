"""Keeps what frozen stages give for a training's images, so that the stages run once for all epochs
and all trainings alike.

Random augmentation would need a new output in every epoch. So the frozen stages see a few fixed
versions of each image, `TrialConfig.views` of them, one an epoch in turn; an evaluation's images
have one. A version depends on the images and on the fields that augment them, not on the seed: all
trainings of a machine whose frozen stages and augmentation are equal share its outputs, in files.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from common.files import (
    find_existing,
    find_unwritable,
    is_locked,
    lock_folder,
    open_atomically,
    remove_leftovers,
)
from common.private_folder import private_cache
from datasets.loading.loader import Batches, epoch_order
from datasets.loading.share import all_images
from datasets.manifest import OUTPUTS
from datasets.splits import Images, Split
from trainables.augmentation.batch import augment
from trainables.config import FROZEN_OUTPUTS, ConfigError, TrialConfig
from trainables.models.inference import autocast
from trainables.models.network import Network
from trainables.models.setup import HALF_TYPES
from trainables.training.batches import Batch, BatchFeeder

LARGEST = 32_768
"""Outputs are kept if an image's have at most this many numbers. Larger ones, of the first stages,
would take as long to read as to compute.
"""

BUDGET_BYTES = 32 << 30
"""Kept outputs take at most this many bytes of a disk, and at most half of what would be free
without them. Where more are needed, those that were used longest ago are removed.
"""

AT_ONCE = 128
"""So many images are augmented at once. The frozen stages see as many, or fewer where
`micro_batch_size` is smaller.
"""

MOST = 0.75
"""A training on this share of a file's images, or more, keeps outputs of all: final ones find them.
"""

FILE = "outputs.npy"
"""This file holds a version's outputs, and behind them the labels."""

CLEAN: dict[str, Any] = {
    "views": 1, "flip": False, "crop": 0.0, "policy": "none", "policy_magnitude": None,
    "cutout": 0.0,
}  # fmt: skip
"""With these fields, images are as an evaluation sees them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputBatches:
    """An `OutputBatches` yields batches of one version's outputs, like a `BatchFeeder` of images.

    split: the images whose outputs there are: those of a training, and perhaps more.
    outputs: (n, H, W, C) or (n, C), in the order of `split`, read from the disk when they are used.
    labels: int64 (n,).
    """

    split: Split
    outputs: Tensor
    labels: Tensor
    feeder: BatchFeeder

    @property
    def device(self) -> torch.device:
        """Returns the device that the batches lie on."""
        return self.feeder.device

    def batches(
        self, split: Split, batch_size: int, *, order_seed: int | None, drop_last: bool
    ) -> Batches:
        """Yields outputs, (B, C, H, W) in channels_last or (B, C), and labels of the images that
        `BatchFeeder.batches` would yield, in the same order.
        """
        end = int(self.split.indices[-1]) + 1
        order = epoch_order(split, end, batch_size, order_seed=order_seed, drop_last=drop_last)
        rows = torch.from_numpy(np.searchsorted(self.split.indices, order))
        return self.feeder.to_device(self._gather(part) for part in torch.split(rows, batch_size))

    def _gather(self, rows: Tensor) -> Batch:
        outputs = self.outputs.index_select(0, rows)
        if outputs.dim() == 4:
            outputs = outputs.permute(0, 3, 1, 2)
        return outputs, self.labels.index_select(0, rows)


@dataclass(frozen=True, slots=True)
class FrozenViews:
    """A `FrozenViews` gives one training the outputs that it learns from, or is evaluated on,
    version by version.

    key: a hash of all that a version's outputs depend on, its number apart.
    root: the folder of all kept outputs, in which those of each key have a folder of their own.
    """

    network: Network
    images: Images
    config: TrialConfig
    feeder: BatchFeeder
    split: Split
    key: str
    root: Path

    @classmethod
    def of(
        cls,
        network: Network,
        images: Images,
        config: TrialConfig,
        feeder: BatchFeeder,
        split: Split,
        *,
        clean: bool = False,
    ) -> Self | None:
        """Returns what a training learns from in place of its images, or `None` where
        `config.views` changes nothing. Raises `ConfigError` if the outputs of all its versions are
        more than the disk may hold.

        clean: whether they are the images of an evaluation, where `None` stands for the error too.
        """
        if not config.views or not network.has_frozen_features():
            return None
        config = config.but(**CLEAN) if clean else config
        if not clean and len(split) >= MOST * len(whole := all_images(split)):
            split = whole
        image = torch.zeros(1, 3, config.image_size, config.image_size, device=feeder.device)
        with autocast(config, feeder.device):
            output = network.eval().frozen_features(image)
        if output.numel() > LARGEST:
            return None
        folder = split.beton.parent / OUTPUTS
        if find_unwritable(folder):
            folder = private_cache(OUTPUTS)
        needed, room = config.views * output.nbytes * len(split), _room(folder, _kept(folder))
        if needed > room:
            if clean:
                return None
            raise ConfigError([
                f"views must be ≤ {room * config.views // needed}, so that the outputs of the "
                f"frozen stages take at most {room / 1e9:.1f} GB in {folder}, but got "
                f"views={config.views}, which take {needed / 1e9:.1f} GB: lower views, free space "
                "on that disk, or set views=0."
            ])  # fmt: skip
        key = _key_of(network, images, config, feeder.device, split)
        return cls(network, images, config, feeder, split, key, folder)

    def of_epoch(self, epoch: int) -> OutputBatches:
        """Returns the version that an epoch, counted from 1, learns from. Its outputs are computed
        and written first if they aren't there; while another process computes them, those of a
        later version. Raises `OSError` if they can't be written.
        """
        own, count = self.root / self.key, self.config.views
        turns = [own / f"view-{(epoch - 1 + n) % count}" / FILE for n in range(count)]
        dtype = HALF_TYPES.get(self.config.precision, torch.float32)
        while (found := _read(turns[0], dtype)) is None:
            free = (p for p in turns if not is_locked(p.parent) and _read(p, dtype) is None)
            path = next(free, turns[0])
            with lock_folder(path.parent):
                remove_leftovers(path.parent)
                if _read(path, dtype) is None:
                    self._write(path)
        outputs, labels = found
        return OutputBatches(split=self.split, outputs=outputs, labels=labels, feeder=self.feeder)

    def _write(self, path: Path) -> None:
        """Writes a version's outputs, then the labels, into one file."""
        labels, view = list[Tensor](), path.parent.name.removeprefix("view-")
        with open_atomically(path) as file, closing(self._chunks(view)) as chunks:
            for outputs, found in chunks:
                if not labels:
                    whole, own = (len(self.split), *outputs.shape[1:]), path.parent.parent
                    _make_room(self.root, outputs[0].nbytes * len(self.split), besides=own)
                    header = {"descr": outputs.dtype.str, "fortran_order": False, "shape": whole}
                    npy.write_array_header_1_0(file, header)
                file.write(outputs.tobytes())
                labels.append(found)
            npy.write_array(file, torch.cat(labels).cpu().numpy(), allow_pickle=False)

    def _chunks(self, view: str) -> Generator[tuple[NDArray[Any], Tensor], None, None]:
        """Yields a version's outputs, as they are stored, and labels, in the order of the split."""
        self.network.eval()
        source = self.feeder.batches(self.split, AT_ONCE, order_seed=None, drop_last=False)
        with closing(source):
            for number, (pixels, labels) in enumerate(source):
                words = hashlib.sha256(f"{self.key} {view} {number}".encode()).digest()
                torch.manual_seed(int.from_bytes(words[:7]))
                batch = augment(pixels, self.config, self.images)
                pieces = torch.split(batch, self.config.micro_batch_size or len(batch))
                with autocast(self.config, self.feeder.device):
                    outputs = torch.cat([self.network.frozen_features(each) for each in pieces])
                yield _stored(outputs), labels


def _key_of(
    network: Network, images: Images, config: TrialConfig, device: torch.device, split: Split
) -> str:
    """Returns a hash of all that a version's outputs depend on, its number apart."""
    same: dict[str, Any] = {name: getattr(config, name) for name in FROZEN_OUTPUTS}
    same |= {"images": images.fingerprint, "layers": network.fixed_layers, "device": device.type}
    same |= {"torch": torch.__version__, "at_once": AT_ONCE, "folded": True}
    digest = hashlib.sha256(json.dumps(same, sort_keys=True).encode())
    digest.update(split.indices.tobytes())
    network.hash_frozen_state(digest)
    return digest.hexdigest()[:32]


def _stored(outputs: Tensor) -> NDArray[Any]:
    """Returns outputs as they are stored: maps as (n, H, W, C), as they lie in memory, and numbers
    of 16 bits as whole ones, because numpy lacks bfloat16.
    """
    outputs = outputs.permute(0, 2, 3, 1) if outputs.dim() == 4 else outputs
    outputs = outputs.cpu().contiguous()
    return (outputs.view(torch.int16) if outputs.element_size() == 2 else outputs).numpy()


def _read(path: Path, half: torch.dtype) -> tuple[Tensor, Tensor] | None:
    """Returns the outputs and labels in a file, or `None` where it is missing or damaged; `half` is
    the type of numbers of 16 bits. The file counts as used now.
    """
    try:
        with path.open("rb") as file:
            npy.read_magic(file)
            shape, _, kind = npy.read_array_header_1_0(file)
            begin = file.tell()
            file.seek(begin + int(np.prod(shape)) * kind.itemsize)
            labels = torch.from_numpy(npy.read_array(file, allow_pickle=False))
        outputs = torch.from_numpy(np.memmap(path, kind, "c", begin, shape))
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    return outputs.view(half) if kind.itemsize == 2 else outputs, labels


def _kept(root: Path) -> dict[Path, os.stat_result]:
    """Returns the files of outputs, those that were used longest ago first. One that another
    process removes meanwhile may lack.
    """
    found = dict[Path, os.stat_result]()
    for path in root.glob(f"*/*/{FILE}"):
        with suppress(FileNotFoundError):
            found[path] = path.stat()
    return dict(sorted(found.items(), key=lambda each: each[1].st_mtime))


def _room(root: Path, kept: Mapping[Path, os.stat_result]) -> int:
    """Returns how many bytes outputs may take in `root`, which need not exist yet and has the files
    `kept`.
    """
    taken = sum(each.st_size for each in kept.values())
    return min(BUDGET_BYTES, (shutil.disk_usage(find_existing(root)).free + taken) // 2)


def _make_room(root: Path, needed: int, besides: Path) -> None:
    """Removes files of outputs until there is room for as many bytes more; those in the folder
    `besides` stay. A training that reads a removed file goes on reading it.
    """
    kept = _kept(root)
    room = _room(root, kept)
    total = needed + sum(each.st_size for each in kept.values())
    for path, each in kept.items():
        if total <= room:
            return
        if path.parent.parent != besides:
            path.unlink(missing_ok=True)
            total -= each.st_size
