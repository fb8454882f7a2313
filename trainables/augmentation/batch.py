"""Augments whole batches on the device, with draws from torch's global generator.

FFCV only decodes: a pipeline that knew a trial's settings would be compiled again for each trial.
Everything here is a few vectorised passes over a batch.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from datasets.splits import Images
from trainables.augmentation.mixing import mix
from trainables.augmentation.policies import apply_policy
from trainables.config import TrialConfig

_STATISTICS = {
    "half": ((127 / 255,) * 3, (128 / 255,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": ((0.0,) * 3, (1.0,) * 3),
}
"""These are fixed means and standard deviations of (R, G, B), as shares of 255.

Pretrained weights expect them. The dataset's own are in its manifest.
"""


def for_training(
    pixels: Tensor, labels: Tensor, config: TrialConfig, images: Images
) -> tuple[Tensor, Tensor]:
    """Augments a batch and returns images, float32 (B, 3, S, S) in channels_last, and targets.

    The targets are the labels; with MixUp or CutMix, they are float32 (B, classes) and sum to 1 in
    each row.

    pixels: uint8 (B, H, W, 3).
    labels: int64 (B,).
    """
    return mix(augment(pixels, config, images), labels, config, len(images.class_ids))


def augment(pixels: Tensor, config: TrialConfig, images: Images) -> Tensor:
    """Augments each image of a batch by itself, and returns float32 (B, 3, S, S) in channels_last.

    pixels: uint8 (B, H, W, 3).
    """
    if config.flip or config.crop > 0:
        pixels = flip_and_shift(pixels, flip=config.flip, crop=config.crop)
    if config.policy != "none":
        pixels = apply_policy(pixels, config)
    batch = normalise(pixels, images, config.normalise)
    if config.cutout > 0:
        cut_out(batch, config.cutout)
    return resize(batch, config.image_size)


def for_evaluation(pixels: Tensor, config: TrialConfig, images: Images) -> Tensor:
    """Returns a batch as float32 (B, 3, S, S) in channels_last, without any randomness.

    pixels: uint8 (B, H, W, 3).
    """
    return resize(normalise(pixels, images, config.normalise), config.image_size)


def flip_and_shift(pixels: Tensor, *, flip: bool, crop: float) -> Tensor:
    """Mirrors half of the images and shifts each one, with borders reflected.

    One gather does both: each row and column of the result is looked up in its source.

    pixels: uint8 (B, H, W, 3); the result has the same shape.
    flip: whether to mirror.
    crop: largest shift, as a share of the side.
    """
    count, height, width, _ = pixels.shape
    device = pixels.device
    rows = torch.arange(height, device=device).expand(count, height)
    columns = torch.arange(width, device=device).expand(count, width)
    if flip:
        mirrored = torch.rand(count, 1, device=device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if crop > 0:
        rows = _reflect(rows + _shifts(count, round(crop * height), device), height)
        columns = _reflect(columns + _shifts(count, round(crop * width), device), width)
    first_row = torch.arange(count, device=device)[:, None] * height
    source = (first_row + rows)[:, :, None] * width + columns[:, None, :]
    return pixels.reshape(-1, 3).index_select(0, source.reshape(-1)).view(pixels.shape)


def pixel_statistics(
    images: Images, kind: str
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Returns what is subtracted from each channel, and what divides it then, as shares of 255.

    kind: a value of `TrialConfig.normalise`.
    """
    return _STATISTICS.get(kind, (images.mean, images.std))


def normalise(pixels: Tensor, images: Images, kind: str = "dataset") -> Tensor:
    """Returns normalised pixels as float32 (B, 3, H, W), see `TrialConfig.normalise` for `kind`.

    The result is channels_last in memory, as the pixels were, so nothing is transposed.

    pixels: uint8 (B, H, W, 3).
    """
    count, height, width, channels = pixels.shape
    # Whole rows are shifted and scaled, because broadcasting along the three channels is five times
    # as slow on CPUs.
    make = _shift_and_scale if pixels.device.type == "cpu" else _shift_and_scale_once
    shift, scale = make(*pixel_statistics(images, kind), width, pixels.device)
    rows = pixels.reshape(count, height, width * channels).float().sub_(shift).mul_(scale)
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


def _shift_and_scale(
    mean: tuple[float, ...], std: tuple[float, ...], width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Returns what is subtracted from a row of pixels, and what multiplies the row then: float32
    (width · channels,) on `device`.
    """
    shift = torch.tensor(mean).mul_(255).repeat(width)
    scale = 1 / torch.tensor(std).mul_(255).repeat(width)
    return shift.to(device), scale.to(device)


@cache
@torch.inference_mode(False)  # the first batch may be one of an evaluation
def _shift_and_scale_once(
    mean: tuple[float, ...], std: tuple[float, ...], width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Returns the result of `_shift_and_scale`, which is made at the first call only.

    Copying a number from the CPU makes the host wait until the GPU has finished all its work.
    """
    return _shift_and_scale(mean, std, width, device)


def cut_out(batch: Tensor, share: float) -> None:
    """Erases one square per image, in place (DeVries & Taylor 2017, arXiv 1708.04552).

    The centre is uniform over all pixels, so part of the square may lie outside the image. The
    square is filled with 0: after normalisation this is the mean, or black with `normalise=unit`.

    batch: float (B, 3, H, W), which must be channels_last in memory.
    share: side of the square, as a share of the image side.
    """
    count, channels, height, width = batch.shape
    rows = _window(count, height, round(share * height), batch.device)
    columns = _window(count, width, round(share * width), batch.device)
    columns = columns.repeat_interleave(channels, dim=1)
    pixels = batch.permute(0, 2, 3, 1).view(count, height, width * channels)
    pixels.masked_fill_(rows[:, :, None] & columns[:, None, :], 0)


def resize(batch: Tensor, side: int) -> Tensor:
    """Resizes float (B, 3, H, W) to (B, 3, side, side), bilinearly; shrinking filters first."""
    if batch.shape[-2:] == (side, side):
        return batch
    shrinks = side < batch.shape[-1]
    return interpolate(batch, size=(side, side), mode="bilinear", antialias=shrinks)


def _shifts(count: int, furthest: int, device: torch.device) -> Tensor:
    """Returns a random shift for each image, int64 (count, 1), of at most `furthest` pixels
    either way.
    """
    return torch.randint(-furthest, furthest + 1, (count, 1), device=device)


def _reflect(positions: Tensor, size: int) -> Tensor:
    """Mirrors positions outside 0…size-1 at the border pixel, which isn't repeated."""
    return (size - 1) - ((size - 1) - positions.abs()).abs()


def _window(count: int, size: int, length: int, device: torch.device) -> Tensor:
    """Returns bool (count, size): `length` neighbours around a random centre, cut at the
    borders.
    """
    first = torch.randint(size, (count, 1), device=device) - length // 2
    positions = torch.arange(size, device=device)
    return (positions >= first) & (positions < first + length)
