"""Reads images with more than 8 bits a channel, and reduces their values to 8 bits.

Pillow reads such images if they are gray. Of coloured ones it returns only the upper half of each
16-bit value, and it reads no coloured floats, so OpenCV, which FFCV needs too, reads these.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.census.value_range import WHITES, exceeds

_TIFF_STARTS = (b"II*\0", b"MM\0*")
_GRAY_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow opens gray images of more than 8 bits in these modes."""


def is_tiff(data: bytes) -> bool:
    """Returns whether a file with this content is a TIFF, which may hold what Pillow can't read."""
    return data.startswith(_TIFF_STARTS)


def is_high_depth(image: Image.Image) -> bool:
    """Returns whether an opened image has more than 8 bits a channel."""
    if image.mode in _GRAY_MODES:
        return True
    # The decoder's arguments name the order of the bytes in the file, as in RGB;16B.
    return image.format in ("PNG", "TIFF") and ";16" in str(getattr(image, "tile", ""))


def reduce_depth(data: bytes, image: Image.Image | None, white: int) -> tuple[Image.Image, float]:
    """Returns an image of more than 8 bits a channel with 8 bits a channel, and its largest value.

    Black is 0, and `white` and all above become 255. Integers keep the upper 8 bits of their range.
    Raises `ValueError` for negative values, for values above the last of `WHITES` and for those
    that aren't finite, and whatever Pillow raises for a broken file.

    data: the content of the file.
    image: the opened image, or `None` if Pillow can't open it.
    white: one of `WHITES`.
    """
    values = _read_values(data, image)
    colours, alpha = (values[..., :3], values[..., 3:]) if values.ndim == 3 else (values, values)
    peak = _check_values(colours)
    pixels = _scale(colours, white)
    if values.ndim == 3 and alpha.shape[2]:
        whole = 1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
        pixels = np.dstack([pixels, _scale(alpha, whole)])
    result = Image.fromarray(pixels)
    if image is not None and image.info.get("exif"):
        result.info["exif"] = image.info["exif"]
    return result, peak


def _read_values(data: bytes, image: Image.Image | None) -> NDArray[Any]:
    """Returns the values as (height, width), or as (height, width, 3 or 4) in RGB and alpha."""
    if image is not None:
        image.load()  # finds truncated files
        if image.mode in _GRAY_MODES:
            return np.asarray(image)
    import cv2  # takes a quarter of a second, and few datasets need it

    # OpenCV would print a line without a path for each broken image.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        values: NDArray[Any] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED
        )
    except cv2.error as error:
        raise ValueError(f"OpenCV can't read it: {error.err}") from error
    if values is None or values.dtype == np.uint8:
        raise ValueError("no image that Pillow or OpenCV can read")
    if values.ndim == 3 and values.shape[2] not in (3, 4):
        raise ValueError(f"it has {values.shape[2]} channels")
    return values if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]


def _check_values(values: NDArray[Any]) -> float:
    """Returns the largest value. Raises `ValueError` for values that no customary range has."""
    if not np.isfinite(values).all():
        raise ValueError("it has values that are not finite")
    lowest, peak = float(values.min()), float(values.max())
    if lowest < 0:
        raise ValueError(f"it has negative values, down to {lowest:g}")
    if exceeds(peak, WHITES[-1]):
        raise ValueError(f"it has values up to {peak:g}, above {WHITES[-1]}")
    return peak


def _scale(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """Returns values as uint8, where 0 stays 0, and `white` and all above become 255."""
    capped = np.minimum(values, white)
    rounded = values.dtype.kind == "f" or white < 255
    scaled = np.rint(capped * (255 / white)) if rounded else capped >> (white.bit_length() - 8)
    return np.asarray(scaled, dtype=np.uint8)
