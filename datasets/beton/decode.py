"""Decodes image files into arrays of one size."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from common.text import printable
from datasets.beton.high_depth import is_high_depth, is_tiff, reduce_depth
from datasets.beton.jpeg import decode_jpeg
from datasets.census.image_formats import PILLOW_FORMATS
from datasets.census.image_opening import (
    MAX_DEEP_PIXELS,
    MAX_PIXELS,
    check_pixels,
    check_tiff,
    open_image,
)
from datasets.spec import Sample, Tree

CHUNK_BYTES = 2 << 20
"""A chunk has at most this many decoded bytes: 170 images of 64 px, for example."""


DIGEST_BYTES = hashlib.sha1(usedforsecurity=False).digest_size
"""The digest of an image's pixels has this many bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenImage:
    """A `BrokenImage` names an image that couldn't be decoded, and the decoder's reason, both
    printable.
    """

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Chunk:
    """A chunk holds some decoded images in the order of their samples, without the broken ones.

    pixels: uint8 (n, size, size, 3), RGB, C-contiguous.
    labels: int64 (n,).
    moments: int64 (n, 3, 2), the sum and the sum of squares of each image's channels.
    digests: uint8 (n, 20), the SHA-1 of each image's pixels.
    decoded: bool (m,), which of the samples were decoded.
    peaks: float64 (k,), the largest value of each image with more than 8 bits a channel.
    broken: the images that couldn't be decoded.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    moments: NDArray[np.int64]
    digests: NDArray[np.uint8]
    decoded: NDArray[np.bool_]
    peaks: NDArray[np.float64]
    broken: tuple[BrokenImage, ...]


def decode_image(
    data: bytes, size: int, white: int | None = None
) -> tuple[Image.Image, float | None]:
    """Decodes an image file and returns it as an RGB image of `size` × `size` pixels, and its
    largest value if it has more than 8 bits a channel and `white` is given.

    Grayscale, palette and CMYK images are converted to RGB. Transparent pixels are laid on white,
    EXIF orientation is applied, and only the first frame of an animation is used. An image of
    another size is resampled (bicubic, antialiased) so that its short side fits, and the middle is
    cut out of its long side. Raises whatever Pillow raises for a broken file, and `ValueError` for
    an empty file, an unknown format, more pixels than `open_image` allows, and values without a
    known range.

    white: the value that becomes 255 in images with more than 8 bits a channel (see
    `reduce_depth`). Without it, 16-bit values are taken to end at 65535, and floats are refused.
    """
    if not data:
        raise ValueError("the file is empty")
    image, peak = _open(data, white)
    # A camera's JPEG decodes up to eight times as fast if libjpeg scales it down first.
    image.draft(None, (2 * size, 2 * size))
    check_pixels(image.size, MAX_PIXELS)  # a long, narrow one can't be scaled down
    if image.info.get("exif"):
        image = ImageOps.exif_transpose(image)
    image = _to_rgb(image)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)
    return image, peak


def _open(data: bytes, white: int | None) -> tuple[Image.Image, float | None]:
    """Opens an image, with 8 bits a channel if `white` is given, and returns it with its largest
    value if it had more.
    """
    try:
        image = open_image(data)
    except UnidentifiedImageError:
        if white is not None and is_tiff(data):
            check_tiff(data, MAX_DEEP_PIXELS)
            return reduce_depth(data, None, white)
        raise ValueError(f"no image in one of the formats {', '.join(PILLOW_FORMATS)}") from None
    if white is not None and is_high_depth(image):
        check_pixels(image.size, MAX_DEEP_PIXELS)
        return reduce_depth(data, image, white)
    return image, None


def _to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image to RGB. Raises `ValueError` for pixel modes without a known range."""
    if image.mode in ("I", "F"):
        raise ValueError(
            f"pixels of mode {image.mode} have no known range, because no training image is known "
            "to have more than 8 bits a channel"
        )
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    # Loading finds truncated files; without this, an RGB image would be returned unread.
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def decode_into(data: bytes, out: NDArray[np.uint8], white: int | None = None) -> float | None:
    """Decodes one image file into `out`, and returns its largest value as `decode_image` does.

    Raises the same errors as `decode_image`.

    out: uint8 (size, size, 3), C-contiguous.
    """
    if decode_jpeg(data, out):
        return None
    with warnings.catch_warnings():
        # Pillow warns of odd metadata, once in each process and without a path.
        warnings.simplefilter("ignore")
        image, peak = decode_image(data, len(out), white)
    out[:] = np.asarray(image)
    return peak


def decode_chunk(
    tree: Tree, samples: Sequence[Sample], pixels: NDArray[np.uint8], white: int | None = None
) -> Chunk:
    """Reads and decodes samples into `pixels`, and returns a chunk whose pixels are a view of them.

    A broken image raises nothing; the chunk lists it in `broken`.

    pixels: uint8 (m, size, size, 3), where m is at least the number of samples.
    white: see `decode_image`.
    """
    labels: list[int] = []
    peaks: list[float] = []
    broken: list[BrokenImage] = []
    decoded = np.ones(len(samples), dtype=np.bool_)
    for number, sample in enumerate(samples):
        out = pixels[len(labels)]
        try:
            peak = decode_into(tree.read(sample.path), out, white)
        except MemoryError:
            raise
        # Pillow and zipfile raise a dozen types for broken content, which all mean the same here.
        except Exception as error:
            reason = printable(str(error) or type(error).__name__)
            decoded[number] = False
            broken.append(BrokenImage(path=printable(sample.path), reason=reason))
            continue
        labels.append(sample.label)
        peaks += [] if peak is None else [peak]
    good = pixels[: len(labels)]
    return Chunk(
        pixels=good,
        labels=np.asarray(labels, dtype=np.int64),
        moments=_moments(good),
        digests=_digests(good),
        decoded=decoded,
        peaks=np.asarray(peaks, dtype=np.float64),
        broken=tuple(broken),
    )


def _digests(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the SHA-1 of each image's pixels, uint8 (n, 20), which tells equal images apart from
    others.
    """
    digests = b"".join(hashlib.sha1(image.data, usedforsecurity=False).digest() for image in pixels)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, DIGEST_BYTES)


def _moments(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Returns the sum and the sum of squares of each image's channels: int64 (n, 3, 2).

    The computation uses whole numbers only: the squares in a column of an image add up to less than
    2³².
    """
    n, size = pixels.shape[:2]
    rows = pixels.reshape(n, size, 3 * size)
    squares = np.multiply(rows, rows, dtype=np.uint16)
    columns = [powers.sum(axis=1, dtype=np.uint32) for powers in (rows, squares)]
    sums = [column.reshape(n, size, 3).sum(axis=1, dtype=np.int64) for column in columns]
    return np.stack(sums, axis=2)


def chunk_images(size: int) -> int:
    """Returns how many images of `size` px a chunk holds: at least one."""
    return max(1, CHUNK_BYTES // (3 * size * size))
