"""What the policies do to images: torchvision's operations, with an amount for each image.

Images are uint8 (N, 3, H, W), contiguous: in channels_last some operations take ten times as
long on a CPU. Amounts are float32 (N, 1, 1, 1). Results are those of
`torchvision.transforms.v2.functional`, to the rounding of a pixel's value.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision.transforms.v2 import functional

GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
"""The operations of `affine`, in the order of its numbers."""


def affine(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """One geometric operation for each image, all in one gather: nearest pixel, black outside.

    operations: int64 (N,), on the CPU, positions in `GEOMETRIC`.
    magnitudes: float64 (N,), on the CPU: shears as slopes about the upper left corner, shifts
    in pixels (to the right and down; fractions are cut off), angles in degrees, anticlockwise.
    """
    height, width = images.shape[-2:]
    shear_x, shear_y, shift_x, shift_y, angle = (
        torch.where(operations == number, magnitudes, 0.0) for number in range(len(GEOMETRIC))
    )
    angle = angle * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    # Where a pixel of the result comes from: (x, y) from the centre -> (x, y) from the centre.
    across = torch.stack([cos, shear_x - sin, shear_x * height / 2 - shift_x.trunc()], dim=1)
    down = torch.stack([shear_y + sin, cos, shear_y * width / 2 - shift_y.trunc()], dim=1)
    sources = torch.stack([across / (width / 2), down / (height / 2)], dim=2).float()
    sources = sources.to(images.device, non_blocking=True)
    grid = _from_centre(height, width, images.device) @ sources
    grid = grid.view(-1, height, width, 2)
    found = grid_sample(images.float(), grid, mode="nearest", align_corners=False)
    return found.to(torch.uint8)


def _from_centre(height: int, width: int, device: torch.device) -> Tensor:
    """Float (H·W, 3): every pixel's x and y from the centre, and 1."""
    x = torch.arange(width, device=device) - (width - 1) / 2
    y = torch.arange(height, device=device) - (height - 1) / 2
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).view(-1, 3)


def brightness(images: Tensor, amounts: Tensor) -> Tensor:
    """From black at −1 over the image at 0 to twice its values at 1."""
    return _pixels(images * (1 + amounts))


def color(images: Tensor, amounts: Tensor) -> Tensor:
    """From grey at −1 over the image at 0 to twice its distance from grey at 1."""
    return _away(images, _grey(images), amounts)


def contrast(images: Tensor, amounts: Tensor) -> Tensor:
    """As `color`, from the mean grey of each image."""
    return _away(images, _grey(images).mean((1, 2, 3), keepdim=True), amounts)


def sharpness(images: Tensor, amounts: Tensor) -> Tensor:
    """As `color`, from the image blurred by 3×3 ones around a 5; the border stays as it is."""
    values = images.float()
    inner = values[..., 1:-1, 1:-1]
    # Shifted sums: a depthwise convolution or a pooling takes ten times as long on a CPU.
    columns = values[..., :-2] + values[..., 1:-1] + values[..., 2:]
    summed = columns[..., :-2, :] + columns[..., 1:-1, :] + columns[..., 2:, :]
    blurred = summed.add_(inner, alpha=4).div_(13).round_()
    inner.add_(blurred.sub_(inner).mul_(-amounts))
    return _pixels(values)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps each value's first `bits` bits of 8."""
    return images & (256 - (8 - bits).exp2()).to(torch.uint8)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Inverts values from the threshold on, which is a share of 255."""
    inverting = (images >= thresholds * 255).to(torch.uint8).neg_()  # 255, or 0
    return inverting.bitwise_xor_(images)  # a quarter of the time of `torch.where` on a CPU


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretches every channel to 0…255."""
    stretched: Tensor = functional.autocontrast(images)
    return stretched


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Spreads every channel's values evenly, by its histogram."""
    spread: Tensor = functional.equalize(images)
    return spread


COLOUR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Brightness": brightness,
    "Color": color,
    "Contrast": contrast,
    "Sharpness": sharpness,
    "Posterize": posterize,
    "Solarize": solarize,
    "AutoContrast": autocontrast,
    "Equalize": equalize,
}


def _away(images: Tensor, reference: Tensor, amounts: Tensor) -> Tensor:
    factors = 1 + amounts
    return _pixels((images * factors).add_(reference * (1 - factors)))


def _grey(images: Tensor) -> Tensor:
    """Float (N, 1, H, W) of whole numbers: luma, cut off."""
    red, green, blue = images.unbind(1)
    luma = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return luma.floor_()[:, None]


def _pixels(values: Tensor) -> Tensor:
    return values.clamp_(0, 255).to(torch.uint8)
