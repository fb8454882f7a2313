"""Image files into arrays of one size."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from datasets.beton.jpeg import decode_jpeg
from datasets.spec import Sample, Tree

CHUNK_BYTES = 2 << 20
"""Decoded bytes that travel at once: 170 images of 64 px."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """An image that couldn't be decoded, and what the decoder said."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Chunk:
    """Decoded images in their order, broken ones left out.

    pixels: uint8 (n, size, size, 3), RGB, C-contiguous. labels: int64 (n,).
    moments: int64 (n, 3, 2), the sum and the sum of squares of each image's channels.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    moments: NDArray[np.int64]
    broken: tuple[Broken, ...]


def decode_image(data: bytes, size: int) -> Image.Image:
    """One RGB image of `size` × `size` pixels.

    Grayscale, palette and CMYK are converted, transparency is laid on white, EXIF orientation
    applied; of an animation the first frame counts. Another size is resampled (bicubic,
    antialiased) so that the short side fits, and the middle is cut out of the long side.
    Raises whatever Pillow raises for a broken file, and `ValueError` for an empty one, an
    unknown format, and a mode without a known range.
    """
    if not data:
        raise ValueError("the file is empty")
    try:
        image: Image.Image = Image.open(BytesIO(data))
    except UnidentifiedImageError:
        raise ValueError("no image format that Pillow knows") from None
    # JPEGs of cameras decode up to eight times faster when libjpeg scales them down first.
    image.draft(None, (2 * size, 2 * size))
    if image.info.get("exif"):
        image = ImageOps.exif_transpose(image)
    image = _to_rgb(image)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no known range")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    # An RGB image comes back as it is, but loaded: a truncated file is found here.
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def decode_into(data: bytes, out: NDArray[np.uint8]) -> None:
    """One image file into uint8 (size, size, 3), C-contiguous. Raises as `decode_image`."""
    if not decode_jpeg(data, out):
        out[:] = np.asarray(decode_image(data, len(out)))


def decode_chunk(tree: Tree, samples: Sequence[Sample], pixels: NDArray[np.uint8]) -> Chunk:
    """Reads and decodes some samples into `pixels`; broken ones are named, not raised.

    pixels: uint8 (at least as many as samples, size, size, 3). The chunk's are a view of them.
    """
    labels: list[int] = []
    broken: list[Broken] = []
    for sample in samples:
        out = pixels[len(labels)]
        try:
            decode_into(tree.read(sample.path), out)
        except MemoryError:
            raise
        # Pillow and zipfile raise a dozen types for broken content: all mean the same here.
        except Exception as error:
            broken.append(Broken(path=sample.path, reason=str(error) or type(error).__name__))
            continue
        labels.append(sample.label)
    good = pixels[: len(labels)]
    return Chunk(
        pixels=good,
        labels=np.asarray(labels, dtype=np.int64),
        moments=_moments(good),
        broken=tuple(broken),
    )


def _moments(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """See `Chunk`. In whole numbers throughout: a column's squares add up to less than 2³²."""
    n, size = pixels.shape[:2]
    rows = pixels.reshape(n, size, 3 * size)
    squares = np.multiply(rows, rows, dtype=np.uint16)
    columns = [powers.sum(axis=1, dtype=np.uint32) for powers in (rows, squares)]
    sums = [column.reshape(n, size, 3).sum(axis=1, dtype=np.int64) for column in columns]
    return np.stack(sums, axis=2)


def chunk_images(size: int) -> int:
    """Images of `size` px in a chunk."""
    return max(1, CHUNK_BYTES // (3 * size * size))
