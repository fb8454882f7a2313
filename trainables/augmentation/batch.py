"""Augmentation of whole batches on the device, drawn from torch's global generator.

FFCV decodes and nothing else: a pipeline that knew a trial's settings would be compiled again
for each trial. Everything here is a few vectorised passes over a batch.
"""

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
"""Fixed ones, as pretrained weights expect them; the dataset's own are in its manifest."""


def for_training(
    pixels: Tensor, labels: Tensor, config: TrialConfig, images: Images
) -> tuple[Tensor, Tensor]:
    """uint8 (B, H, W, 3) and int64 (B,) -> float32 (B, 3, S, S) channels_last, and targets.

    Targets are the labels, or with MixUp or CutMix float32 (B, classes) that sum to 1 in each row.
    """
    if config.flip or config.crop > 0:
        pixels = flip_and_shift(pixels, flip=config.flip, crop=config.crop)
    if config.policy != "none":
        pixels = apply_policy(pixels, config)
    batch = normalise(pixels, images, config.normalise)
    if config.cutout > 0:
        cut_out(batch, config.cutout)
    batch = resize(batch, config.image_size)
    return mix(batch, labels, config, len(images.class_ids))


def for_evaluation(pixels: Tensor, config: TrialConfig, images: Images) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, S, S) channels_last, without any randomness."""
    return resize(normalise(pixels, images, config.normalise), config.image_size)


def flip_and_shift(pixels: Tensor, *, flip: bool, crop: float) -> Tensor:
    """Mirrors half of the images and shifts each by up to `crop` of its side, borders reflected.

    One gather for both: an image's rows and columns are looked up where they come from.
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
    """What is taken off each channel, and what it is divided by then, as shares of 255."""
    return _STATISTICS.get(kind, (images.mean, images.std))


def normalise(pixels: Tensor, images: Images, kind: str = "dataset") -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W), as `TrialConfig.normalise` names it.

    The result is channels_last in memory, as the pixels were: nothing is transposed.
    """
    count, height, width, channels = pixels.shape
    # Whole rows of pixels: broadcasting three numbers along three is five times slower on CPUs.
    mean, std = pixel_statistics(images, kind)
    shift = torch.tensor(mean, device=pixels.device).mul_(255).repeat(width)
    scale = 1 / torch.tensor(std, device=pixels.device).mul_(255).repeat(width)
    rows = pixels.reshape(count, height, width * channels).float().sub_(shift).mul_(scale)
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


def cut_out(batch: Tensor, share: float) -> None:
    """Erases in place one square per image (DeVries & Taylor 2017, arXiv 1708.04552).

    The batch must be channels_last in memory. The side is `share` of the image's, the centre
    uniform over all pixels, so that the square may leave the image in part. It is filled with
    0: after normalisation the mean, or black with `normalise=unit`.
    """
    count, channels, height, width = batch.shape
    rows = _window(count, height, round(share * height), batch.device)
    columns = _window(count, width, round(share * width), batch.device)
    columns = columns.repeat_interleave(channels, dim=1)
    pixels = batch.permute(0, 2, 3, 1).view(count, height, width * channels)
    pixels.masked_fill_(rows[:, :, None] & columns[:, None, :], 0)


def resize(batch: Tensor, side: int) -> Tensor:
    """Float (B, 3, H, W) -> (B, 3, side, side), bilinear; filtered first when it shrinks."""
    if batch.shape[-2:] == (side, side):
        return batch
    shrinks = side < batch.shape[-1]
    return interpolate(batch, size=(side, side), mode="bilinear", antialias=shrinks)


def _shifts(count: int, furthest: int, device: torch.device) -> Tensor:
    return torch.randint(-furthest, furthest + 1, (count, 1), device=device)


def _reflect(positions: Tensor, size: int) -> Tensor:
    """Positions outside 0…size-1 mirrored at the border pixel, which isn't repeated."""
    return (size - 1) - ((size - 1) - positions.abs()).abs()


def _window(count: int, size: int, length: int, device: torch.device) -> Tensor:
    """Bool (count, size): `length` neighbours around a random centre, cut at the borders."""
    first = torch.randint(size, (count, 1), device=device) - length // 2
    positions = torch.arange(size, device=device)
    return (positions >= first) & (positions < first + length)
