"""Describes how an image file becomes a network's input, as plain values for other programs.

`datasets.beton.decode` and `trainables.augmentation.batch` do what is described here. A test
rebuilds the pixels from the description alone, and compares.
"""

from collections.abc import Sequence
from typing import Any

from datasets.census.image_formats import PILLOW_FORMATS

VERSION = 1
"""The layout of the description has this number, which changes when a reader must change."""

_UNKNOWN_WHITE = 65535
"""Values of 16 bits are taken to end here if the training images aren't known to have any."""


def describe_preprocessing(
    *,
    stored_px: int,
    white: int | None,
    mean: Sequence[float],
    std: Sequence[float],
    image_size: int,
) -> dict[str, Any]:
    """Returns the steps from a file to `images`, which exported programs take, and from there to
    the network, which the programs contain.

    stored_px, white, mean, std: see `Description`.
    image_size: side in pixels of the network's input.
    """
    square, inside = [stored_px, stored_px], [image_size, image_size]
    resize = {
        "step": "resize",
        "size": inside,
        "interpolation": "bilinear",
        "antialias": image_size < stored_px,
        "align_corners": False,
    }
    return {
        "version": VERSION,
        "to_images": [
            {
                "step": "decode",
                "formats": list(PILLOW_FORMATS),
                "frame": 0,
                "colour_profile": "ignored",
                "jpeg_scale": {"divisors": [8, 4, 2, 1], "sides_at_least": [2 * stored_px] * 2},
            },
            {"step": "orient", "by": "exif"},
            {"step": "reduce_depth", **_depth(white)},
            {"step": "lay_on_background", "colour": [255, 255, 255]},
            {"step": "convert", "to": "RGB"},
            {"step": "crop", "to": "largest square", "position": "centre", "whole_pixels": False},
            {"step": "resize", "size": square, "interpolation": "bicubic", "antialias": True},
        ],
        "images": {"layout": "NHWC", "dtype": "uint8", "shape": ["batch", *square, 3]},
        "to_network": [
            {"step": "scale", "divisor": 255},
            {"step": "normalise", "subtract": list(mean), "divide": list(std)},
            {"step": "transpose", "to": "NCHW"},
            *([resize] if image_size != stored_px else []),
        ],
        "network": {"layout": "NCHW", "dtype": "float32", "shape": ["batch", 3, *inside]},
    }


def _depth(white: int | None) -> dict[str, Any]:
    """Returns how values of more than 8 bits a channel become 8 bits, as `reduce_depth` does it:
    values above `white` become `white`, then integers are shifted or multiplied, floats multiplied
    and rounded.
    """
    known = white or _UNKNOWN_WHITE
    multiply = {"multiply": 255 / known, "round": "half to even"}
    return {
        "white": known,
        "integers": multiply if known < 255 else {"shift_right": known.bit_length() - 8},
        "floats": multiply if white else "refused",
        "alpha": "by the whole range of its type",
    }
