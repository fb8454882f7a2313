"""Mixes the images and labels of a batch, by MixUp and CutMix, on the device.

The draws come from torch's global generator of the device. On a CPU, a box is cut out by slices. On
a GPU, where reading a draw would make the host wait, every pixel gets a weight instead: the
operations have the same shapes for all draws, and the same results.
"""

from typing import Any

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
    if batch.device.type == "cuda" and (mixup or cutmix):
        weights = _draw_weights(batch, config.mixup_alpha, config.cutmix_alpha)
        return blend(batch, weights), blend(_one_hot(labels, num_classes), weights.mean())
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
    return blend(batch, share), blend(_one_hot(labels, num_classes), share)


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
    return batch, blend(_one_hot(labels, num_classes), share_left)


def _draw_weights(batch: Tensor, mixup_alpha: float, cutmix_alpha: float) -> Tensor:
    """Returns random weights for `blend`, float32 (H, W), or () if CutMix is off.

    batch: float (B, 3, H, W), which the result lies beside.
    """
    height, width = batch.shape[-2:]
    device = batch.device
    if cutmix_alpha == 0:
        return _draw_share(mixup_alpha, device)
    column, row = (torch.randint(size, (), device=device) for size in (width, height))
    weights = box_weights(_draw_share(cutmix_alpha, device), column, row, height, width)
    if mixup_alpha == 0:
        return weights
    cutmix = torch.rand((), device=device) < 0.5
    return torch.where(cutmix, weights, _draw_share(mixup_alpha, device))


def _draw_share(alpha: float, device: torch.device) -> Tensor:
    """Returns a number from Beta(alpha, alpha): float32 (), on `device`."""
    # `Beta` itself checks its arguments' values, which makes the host wait for a GPU.
    return torch._sample_dirichlet(torch.full((2,), alpha, device=device))[0]


def box_weights(share: Tensor, column: Tensor, row: Tensor, height: int, width: int) -> Tensor:
    """Returns 0 inside the box of `cut_mix` and 1 outside: float32 (height, width).

    share: λ, float ().
    column, row: the box's centre, int64 ().
    """
    inside = []
    for centre, size in ((row, height), (column, width)):
        half = (0.5 * (1 - share.double()).sqrt() * size).long()
        positions = torch.arange(size, device=share.device)
        inside.append((positions >= centre - half) & (positions < centre + half))
    return 1 - (inside[0][:, None] & inside[1]).float()


def _span(size: int, share: float) -> slice:
    """Returns a random stretch of about √(1 − share) · size positions, cut at the borders."""
    centre = int(torch.randint(size, (1,)))
    half = int(0.5 * (1 - share) ** 0.5 * size)
    return slice(max(0, centre - half), min(size, centre + half))


def _one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Returns labels, int64 (B,), as float32 (B, num_classes) with a single 1 in each row."""
    return one_hot(labels, num_classes).float()


def blend(values: Tensor, weights: Any) -> Tensor:
    """Returns each value times its weight, plus the previous one in the batch times the rest.

    weights: a number, or a float tensor of a shape that fits the last dimensions of `values`.
    """
    # On GPUs, `roll` would give up the channels_last format.
    return torch.cat((values[-1:], values[:-1])).lerp_(values, weights)
