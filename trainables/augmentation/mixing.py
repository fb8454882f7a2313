"""Mixes the images and labels of a batch, by MixUp and CutMix, on the device.

The draws come from torch's global generator on the CPU, so nothing waits for a GPU.
"""

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import one_hot

from trainables.config import TrialConfig


def mix(
    batch: Tensor, labels: Tensor, config: TrialConfig, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Returns the batch and its targets after MixUp or CutMix, as `config` says; may change
    `batch`.

    If both methods are on, each batch gets one of them, with equal chance. If both are off, batch
    and labels stay as they are, and nothing is drawn.

    batch: float (B, 3, H, W).
    labels: int64 (B,).
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
    """Blends each image and its label with the previous one of the batch (Zhang et al. 2018).

    A batch has one share, from Beta(alpha, alpha). Returns the images and float32 (B, num_classes)
    targets.
    """
    share = float(Beta(alpha, alpha).sample())
    return _blend_with_previous(batch, share), _blend_with_previous(
        _one_hot(labels, num_classes), share
    )


def cut_mix(batch: Tensor, labels: Tensor, alpha: float, num_classes: int) -> tuple[Tensor, Tensor]:
    """Replaces a box of each image by that of the previous one, in place (Yun et al. 2019,
    1905.04899).

    A batch has one share λ, from Beta(alpha, alpha), and one box. The box has √(1 − λ) of the
    image's sides, its centre is uniform over all pixels, and it is cut at the borders. Labels are
    mixed by the area that remains. Returns the images and float32 (B, num_classes) targets.
    """
    height, width = batch.shape[-2:]
    share = float(Beta(alpha, alpha).sample())
    columns, rows = _span(width, share), _span(height, share)
    box = batch[..., rows, columns]
    batch[..., rows, columns] = box.roll(1, 0)
    share_left = 1 - box[0, 0].numel() / (height * width)
    return batch, _blend_with_previous(_one_hot(labels, num_classes), share_left)


def _span(size: int, share: float) -> slice:
    """Returns a random stretch of about √(1 − share) · size positions, cut at the borders."""
    centre = int(torch.randint(size, (1,)))
    half = int(0.5 * (1 - share) ** 0.5 * size)
    return slice(max(0, centre - half), min(size, centre + half))


def _one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Returns labels, int64 (B,), as float32 (B, num_classes) with a single 1 in each row."""
    return one_hot(labels, num_classes).float()


def _blend_with_previous(values: Tensor, share: float) -> Tensor:
    """Returns `share` of each value plus 1 − `share` of the previous one in the batch."""
    return values.roll(1, 0).lerp_(values, share)
