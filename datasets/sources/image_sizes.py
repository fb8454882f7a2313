"""Measures how large a source's images are, from the headers of some of them, and refuses to store
large ones small unasked.
"""

from collections.abc import Sequence

from datasets.census.image_opening import open_image
from datasets.census.image_sizes import (
    LARGE_PX,
    ImageSizes,
    advise_size,
    describe_sizes,
    summarise_sides,
)
from datasets.spec import DatasetError, Listing, Sample, Source

LOOKED_AT = 1_000
"""At most this many images, at equal distances in a listing, stand for all of them."""
_HEADER_BYTES = 1 << 16
"""Nearly every header lies in so many bytes; where it doesn't, the whole file is read."""


def measure_sizes(source: Source, samples: Sequence[Sample]) -> ImageSizes | None:
    """Returns the sizes of some of the samples' images, or `None` where no header can be read."""
    some = samples[:: -(-len(samples) // LOOKED_AT) or 1]
    sides = [side for sample in some if (side := _shorter_side(source, sample.path))]
    return summarise_sides(sides) if sides else None


def _shorter_side(source: Source, path: str) -> int | None:
    """Returns an image's shorter side in pixels, or `None` for a broken image."""
    for is_head in (True, False):
        try:
            data = source.read_head(path, _HEADER_BYTES) if is_head else source.read(path)
            with open_image(data) as image:
                return min(image.size)
        except MemoryError:
            raise
        # A header that ends too early and a broken one raise errors of a dozen types.
        except Exception:  # noqa: S112 # decoding will name the image and the reason
            continue
    return None


def check_sizes(listing: Listing, repeat: str) -> None:
    """Raises `DatasetError` if images are too large to be stored at the dataset's own size.

    repeat: the command that was given, which the remedy ends with a size.
    """
    if listing.sizes and (advised := advise_size(listing.sizes)):
        raise DatasetError(
            f"--size must be given where the median of the images' shorter sides exceeds "
            f"{LARGE_PX} px, but these have {describe_sizes(listing.sizes)}; choose how large to "
            f"store them, as with `{repeat} --size {advised}`, or give --source to search.run, "
            "which stores them as large as its space needs."
        )
