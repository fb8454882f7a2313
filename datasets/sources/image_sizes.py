"""Measures how large a source's images are, from the headers of some of them."""

from collections.abc import Sequence

from datasets.census.image_opening import open_image
from datasets.census.image_sizes import ImageSizes, summarise_sides
from datasets.spec import Sample, Source

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
