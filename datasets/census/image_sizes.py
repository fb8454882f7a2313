"""Describes how large a source's images are before they are cropped and resized."""

from collections.abc import Sequence
from statistics import median_low
from typing import TypedDict

LARGE_PX = 64
"""Images whose shorter side exceeds this many pixels in the median are large: their details are
lost at the size that a dataset has by default.
"""
CUSTOMARY_PX = 224
"""Large images are advised to be stored at this size, at which most pretrained networks work."""


class ImageSizes(TypedDict):
    """This mapping describes the shorter sides, in pixels, of some images of a source.

    images: the number of images whose sizes were read.
    smallest, median, largest: of their shorter sides.
    large_share: the share of them whose shorter side exceeds `LARGE_PX`.
    """

    images: int
    smallest: int
    median: int
    largest: int
    large_share: float


def summarise_sides(sides: Sequence[int]) -> ImageSizes:
    """Returns the sizes of at least one image; `sides` are the shorter sides in pixels."""
    return ImageSizes(
        images=len(sides),
        smallest=min(sides),
        median=median_low(sides),
        largest=max(sides),
        large_share=sum(side > LARGE_PX for side in sides) / len(sides),
    )


def advise_size(sizes: ImageSizes) -> int | None:
    """Returns the side in pixels at which large images had better be stored, or `None` where the
    images aren't large.
    """
    return min(sizes["median"], CUSTOMARY_PX) if sizes["median"] > LARGE_PX else None


def describe_sizes(sizes: ImageSizes) -> str:
    """Returns a phrase, such as «shorter sides of 48 … 640 px, 96 px in the median, 80 % above
    64 px (1,000 images looked at)».
    """
    images = f"{sizes['images']:,} image{'s' if sizes['images'] > 1 else ''}"
    return (
        f"shorter sides of {sizes['smallest']:,} … {sizes['largest']:,} px, "
        f"{sizes['median']:,} px in the median, {sizes['large_share']:.0%} above {LARGE_PX} px "
        f"({images} looked at)".replace("%", " %")
    )
