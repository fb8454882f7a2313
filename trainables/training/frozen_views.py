"""Keeps what frozen stages give for a training's images, so that the stages run once for all epochs
and all trainings alike.

Random augmentation would need a new output in every epoch. So the frozen stages see a few fixed
versions of each image, `TrialConfig.views` of them, one an epoch in turn; an evaluation's images
have one. A version depends on the images and on the fields that augment them, not on the seed: all
trainings of a machine whose frozen stages and augmentation are equal share its outputs, in files.
"""

import hashlib
import json
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.files import find_unwritable, lock_folder
from common.private_folder import private_cache
from datasets.kept_outputs import FILE, make_room, read_outputs, room_for, write_outputs
from datasets.loading.loader import Batches, epoch_order
from datasets.loading.share import all_images, labels_of
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

AT_ONCE = 128
"""So many images are augmented at once. The frozen stages see as many, or fewer where
`micro_batch_size` is smaller.
"""

MOST = 0.75
"""A training on this share of a file's images, or more, keeps outputs of all: final ones find them.
"""

WAIT_S = 0.5
"""A training looks this often whether another one has computed what it needs."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """A `Preparation` says to people what a training does before it trains: `text` is a sentence
    without its subject.
    """

    text: str


@dataclass(frozen=True, slots=True)
class FrozenViews:
    """A `FrozenViews` gives one training the outputs that it learns from, or is evaluated on,
    version by version.

    labels: int64 (n,), of the split's images.
    like: outputs of one image, as they are stored, (1, H, W, C) or (1, C).
    key: a hash of all that a version's outputs depend on, its number apart.
    root: the folder of all kept outputs, in which those of each key have a folder of their own.
    """

    network: Network
    images: Images
    config: TrialConfig
    feeder: BatchFeeder
    split: Split
    labels: Tensor
    like: NDArray[Any]
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
        more than the disk may hold, and `DatasetError`.

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
        needed, room = config.views * output.nbytes * len(split), room_for(folder)
        if needed > room:
            if clean:
                return None
            raise ConfigError([
                f"views must be ≤ {room * config.views // needed}, so that the outputs of the "
                f"frozen stages take at most {room / 1e9:.1f} GB in {folder}, but got "
                f"views={config.views}, which take {needed / 1e9:.1f} GB: lower views, free space "
                "on that disk, or set views=0."
            ])  # fmt: skip
        key, like = _key_of(network, images, config, feeder.device, split), _stored(output)
        labels = torch.from_numpy(labels_of(split))
        return cls(network, images, config, feeder, split, labels, like, key, folder)

    def of_epoch(self, epoch: int) -> OutputBatches:
        """Returns the version that an epoch, counted from 1, learns from. `prepare` comes first
        where its outputs aren't there. Raises `OSError` or `FolderError` if they can't be written.
        """
        path = self._turns(epoch)[0]
        while (outputs := read_outputs(path)) is None:
            for _ in self.prepare(epoch):
                pass
        half = HALF_TYPES.get(self.config.precision, torch.float32)
        kept = torch.from_numpy(outputs)
        kept = kept.view(half) if kept.element_size() == 2 else kept
        return OutputBatches(split=self.split, outputs=kept, labels=self.labels, feeder=self.feeder)

    def prepare(self, epoch: int) -> Generator[Preparation, None, None]:
        """Computes and writes the version that an epoch learns from, if it isn't there; while
        another process computes it, those of later epochs. Yields how far it is after each batch of
        images, and every `WAIT_S` seconds of waiting.

        Where the caller closes the generator, what was computed is kept, and the next call goes on
        from there. Raises `OSError` or `FolderError` if it can't be written.
        """
        turns = self._turns(epoch)
        while read_outputs(turns[0]) is None:
            for path in (each for each in turns if read_outputs(each) is None):
                with lock_folder(path.parent, wait=False) as locked:
                    if locked and read_outputs(path) is None:
                        yield from self._write(path)
                if locked:
                    break
            else:
                yield Preparation(
                    text="waits for outputs of frozen stages, which another training computes"
                )
                time.sleep(WAIT_S)

    def _turns(self, epoch: int) -> list[Path]:
        """Returns the files of all versions, in the order in which epochs from this one on learn
        from them.
        """
        own, count = self.root / self.key, self.config.views
        return [own / f"view-{(epoch - 1 + n) % count}" / FILE for n in range(count)]

    def _write(self, path: Path) -> Generator[Preparation, None, None]:
        """Writes a version's outputs, or those that lack."""
        view, whole = path.parent.name.removeprefix("view-"), len(self.split)
        which = f", version {int(view) + 1} of {self.config.views}" if self.config.views > 1 else ""
        shape = (whole, *self.like.shape[1:])
        with write_outputs(path, shape, self.like.dtype) as writer:
            make_room(self.root, self.like.nbytes * (whole - writer.rows), besides=path.parents[1])
            with closing(self._chunks(view, writer.rows)) as chunks:
                for outputs in chunks:
                    writer.append(outputs)
                    yield Preparation(
                        text=f"has outputs of frozen stages for {writer.rows / whole:.0%} of "
                        f"{whole:,} images{which}"
                    )

    def _chunks(self, view: str, first: int) -> Generator[NDArray[Any], None, None]:
        """Yields a version's outputs as they are stored, in the order of the split, from the image
        `first` on, which begins a chunk.
        """
        rest = replace(self.split, indices=self.split.indices[first:])
        if not len(rest):
            return
        self.network.eval()
        source = self.feeder.batches(rest, AT_ONCE, order_seed=None, drop_last=False)
        with closing(source):
            for number, (pixels, _) in enumerate(source, start=first // AT_ONCE):
                words = hashlib.sha256(f"{self.key} {view} {number}".encode()).digest()
                torch.manual_seed(int.from_bytes(words[:7]))
                batch = augment(pixels, self.config, self.images)
                pieces = torch.split(batch, self.config.micro_batch_size or len(batch))
                with autocast(self.config, self.feeder.device):
                    outputs = torch.cat([self.network.frozen_features(each) for each in pieces])
                yield _stored(outputs)


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
