"""Chooses the scale of images with more than 8 bits a channel from the values that they use."""

from collections.abc import Collection
from typing import TypedDict

WHITES = (1, 255, 1023, 4095, 16383, 65535)
"""The customary ranges of values begin at 0 and end at one of these values, which is white."""
_ROUNDING = 1e-4
"""Computed values may exceed the end of their range by this share of it."""


class ValueRange(TypedDict):
    """This mapping describes the values of a dataset's 16-bit and float images.

    white: the value that is stored as 255, one of `WHITES`.
    images: the number of such images in train and test.
    largest: the largest value in the training split, with val.
    clipped: the number of test images with values beyond `white`, which are stored as 255 too.
    """

    white: int
    images: int
    largest: float
    clipped: int


def find_white(peaks: Collection[float]) -> int | None:
    """Returns the smallest of `WHITES` that no peak exceeds, or `None` where there are no peaks.

    peaks: the largest value of each image; none exceeds the last of `WHITES`.
    """
    if not len(peaks):
        return None
    return next(white for white in WHITES if not exceeds(max(peaks), white))


def exceeds(value: float, white: int) -> bool:
    """Returns whether a value is beyond white by more than rounding explains."""
    return value > white * (1 + _ROUNDING)


def describe_range(found: ValueRange | None) -> list[str]:
    """Returns a line about 16-bit and float images if there are any, and one about those of test
    that are clipped.
    """
    if found is None:
        return []
    white, clipped = found["white"], found["clipped"]
    lines = [
        f"16-bit and float images: {found['images']:,}, with values up to {found['largest']:,g} in "
        f"train, so 0 is stored as black and {white:,} as white in all of them"
    ]
    more = f"clipped: values above {white:,} in {clipped:,} of the 16-bit and float test images"
    return lines + ([more] if clipped else [])
