"""Applies torchvision's image operations with a separate amount for each image.

Images are uint8 (N, 3, H, W), contiguous: in channels_last, some operations take ten times as long
on a CPU. Amounts are float32 (N, 1, 1, 1). Results equal those of
`torchvision.transforms.v2.functional`, up to the rounding of a pixel's value.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from trainables.torchvision_import import functional

GEOMETRIC = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
"""The function `affine` knows these operations by their position in this tuple."""


def affine(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Applies one geometric operation to each image: nearest pixel, and black outside of the image.

    One gather does this for all images. An image whose operation is none of `GEOMETRIC` stays as it
    is.

    operations: int64 (N,), on the images' device, positions in `GEOMETRIC`.
    magnitudes: float64 (N,), where the operations are: shears as slopes about the upper left
    corner, shifts in pixels (to the right and down; fractions are cut off), angles in degrees,
    anticlockwise.
    """
    height, width = images.shape[-2:]
    shear_x, shear_y, shift_x, shift_y, angle = (
        torch.where(operations == number, magnitudes, 0.0) for number in range(len(GEOMETRIC))
    )
    angle = angle * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    # These matrices map a pixel of the result to its source; both are (x, y) from the centre.
    across = torch.stack([cos, shear_x - sin, shear_x * height / 2 - shift_x.trunc()], dim=1)
    down = torch.stack([shear_y + sin, cos, shear_y * width / 2 - shift_y.trunc()], dim=1)
    sources = torch.stack([across / (width / 2), down / (height / 2)], dim=2).float()
    grid = _from_centre(height, width, images.device) @ sources
    grid = grid.view(-1, height, width, 2)
    result = grid_sample(images.float(), grid, mode="nearest", align_corners=False)
    return result.to(torch.uint8)


def _from_centre(height: int, width: int, device: torch.device) -> Tensor:
    """Returns float (H·W, 3): every pixel's x and y, measured from the centre, and 1."""
    x = torch.arange(width, device=device) - (width - 1) / 2
    y = torch.arange(height, device=device) - (height - 1) / 2
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).view(-1, 3)


def brightness(images: Tensor, amounts: Tensor) -> Tensor:
    """Changes brightness: −1 gives black, 0 the image itself, and 1 twice its values."""
    return _to_pixels(images * (1 + amounts))


def color(images: Tensor, amounts: Tensor) -> Tensor:
    """Changes saturation: −1 gives grey, 0 the image itself, and 1 twice its distance from grey."""
    return _blend(images, _grey(images), amounts)


def contrast(images: Tensor, amounts: Tensor) -> Tensor:
    """Changes contrast: −1 gives the image's mean grey, 0 the image, 1 twice its distance from
    that.
    """
    return _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), amounts)


def sharpness(images: Tensor, amounts: Tensor) -> Tensor:
    """Changes sharpness: −1 gives a blurred image, 0 the image itself, 1 twice its distance from
    that.

    The blur is a 3×3 average with weights of 1 around a 5; the border pixels stay as they are.
    """
    values = images.float()
    inner = values[..., 1:-1, 1:-1]
    # Shifted slices are summed, because a depthwise convolution or a pooling takes ten times as
    # long on a CPU.
    columns = values[..., :-2] + values[..., 1:-1] + values[..., 2:]
    summed = columns[..., :-2, :] + columns[..., 1:-1, :] + columns[..., 2:, :]
    blurred = summed.add_(inner, alpha=4).div_(13).round_()
    inner.add_(blurred.sub_(inner).mul_(-amounts))
    return _to_pixels(values)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the first `bits` of each value's 8 bits and sets the others to 0."""
    return images & (256 - (8 - bits).exp2()).to(torch.uint8)


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Inverts all values at or above the threshold, which is a share of 255."""
    inverting = (images >= thresholds * 255).to(torch.uint8).neg_()  # the values are 255 or 0
    return inverting.bitwise_xor_(images)  # `torch.where` takes four times as long on a CPU


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretches the values of every channel to 0…255; a channel of one value stays as it is."""
    # torchvision's own function looks for such channels by a mask, for which a GPU's host may wait.
    values = images.float()
    lowest = values.amin((-2, -1), keepdim=True)
    spread = values.amax((-2, -1), keepdim=True).sub_(lowest).mul_(1 / 255)
    plain = spread == 0
    lowest, spread = lowest.masked_fill_(plain, 0), spread.masked_fill_(plain, 1)
    return _to_pixels(values.sub_(lowest).div_(spread))


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
"""This table gives the function of each colour operation by its name."""


def _blend(images: Tensor, reference: Tensor, amounts: Tensor) -> Tensor:
    """Returns `reference` plus 1 + amount times the distance of the images from it, as pixels."""
    factors = 1 + amounts
    return _to_pixels((images * factors).add_(reference * (1 - factors)))


def _grey(images: Tensor) -> Tensor:
    """Returns float (N, 1, H, W) of whole numbers: the luma, rounded down."""
    red, green, blue = images.unbind(1)
    luma = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return luma.floor_()[:, None]


def _to_pixels(values: Tensor) -> Tensor:
    """Returns values as uint8, after they are limited to 0…255, in place."""
    return values.clamp_(0, 255).to(torch.uint8)
