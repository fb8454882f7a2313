"""Batches whose images and labels are mixed: MixUp and CutMix, on the device.

The draws are made on the CPU, from torch's global generator: a GPU is never waited for.
"""

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import one_hot

from trainables.config import TrialConfig


def mix(
    batch: Tensor, labels: Tensor, config: TrialConfig, num_classes: int
) -> tuple[Tensor, Tensor]:
    """The batch and its targets after MixUp or CutMix, as `config` has it; may change `batch`.

    Where both are on, each batch gets one of them, with equal chance. Where both are off,
    batch and labels stay as they are and nothing is drawn.
    """
    mixup, cutmix = config.mixup_alpha > 0, config.cutmix_alpha > 0
    if mixup and cutmix:
        cutmix = bool(torch.rand(()) < 0.5)
    if cutmix:
        return cut_mix(batch, labels, config.cutmix_alpha, num_classes)
    if mixup:
        return mix_up(batch, labels, config.mixup_alpha, num_classes)
    return batch, labels


def mix_up(batch: Tensor, labels: Tensor, alpha: float, num_classes: int) -> tuple[Tensor, Tensor]:
    """Each image, and its label, blended with the one before it (Zhang et al. 2018).

    One share a batch, from Beta(alpha, alpha). Gives float32 (B, num_classes) targets.
    """
    share = float(Beta(alpha, alpha).sample())
    return _blended(batch, share), _blended(_one_hot(labels, num_classes), share)


def cut_mix(batch: Tensor, labels: Tensor, alpha: float, num_classes: int) -> tuple[Tensor, Tensor]:
    """In place, one box of each image taken from the one before it (Yun et al. 2019, 1905.04899).

    One share λ and one box a batch: λ from Beta(alpha, alpha), sides √(1 − λ) of the image's,
    the centre uniform over all pixels, cut at the borders. Labels are mixed by the area that
    is left. Gives float32 (B, num_classes) targets.
    """
    height, width = batch.shape[-2:]
    share = float(Beta(alpha, alpha).sample())
    columns, rows = _span(width, share), _span(height, share)
    box = batch[..., rows, columns]
    batch[..., rows, columns] = box.roll(1, 0)
    kept = 1 - box[0, 0].numel() / (height * width)
    return batch, _blended(_one_hot(labels, num_classes), kept)


def _span(size: int, share: float) -> slice:
    """A random stretch of about √(1 − share) · size positions, cut at the borders."""
    centre = int(torch.randint(size, (1,)))
    half = int(0.5 * (1 - share) ** 0.5 * size)
    return slice(max(0, centre - half), min(size, centre + half))


def _one_hot(labels: Tensor, num_classes: int) -> Tensor:
    return one_hot(labels, num_classes).float()


def _blended(values: Tensor, share: float) -> Tensor:
    return values.roll(1, 0).lerp_(values, share)
