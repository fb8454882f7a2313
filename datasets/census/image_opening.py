"""Opens every image of the project: by a list of formats, and after a look at its header.

A file of a few bytes can claim to be an image of any size. The limits here depend on how many bytes
a pixel takes while it is decoded: with them, no image adds more than `DECODING_BYTES` to a process,
its file included.
"""

import struct
import warnings
from io import BytesIO

from PIL import Image

from datasets.census.image_formats import PILLOW_FORMATS

DECODING_BYTES = 2 << 30
"""Decoding one image takes at most this many bytes of memory: 2 GiB."""
MAX_PIXELS = 40_000_000
"""An image may have at most this many pixels. One with transparency takes up to 28 bytes each."""
MAX_JPEG_PIXELS = 120_000_000
"""A JPEG may have this many, because it is scaled down while it is decoded. If it is progressive, 8
bytes of each pixel are held all the same.
"""
MAX_DEEP_PIXELS = 20_000_000
"""An image of more than 8 bits a channel may have this many, because one takes up to 65 bytes."""
_MAX_PIECES = 200_000
"""A TIFF may have at most this many strips or tiles; Pillow lists them when it opens the file."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WIDTH, _HEIGHT, _STRIPS, _TILE_WIDTH, _TILE_HEIGHT, _TILES = 256, 257, 273, 322, 323, 324
_LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""These types of a TIFF's entries are whole numbers; `struct` knows them by these letters."""


def open_image(data: bytes) -> Image.Image:
    """Returns an image of which only the header has been read.

    Raises `PIL.UnidentifiedImageError` for another format than `PILLOW_FORMATS`, `ValueError` for
    more pixels than the format may have, and whatever Pillow raises for a broken header.
    """
    if data.startswith(_TIFF_STARTS):
        check_tiff(data, MAX_PIXELS)
    with warnings.catch_warnings():
        # Pillow warns of large images, but its limit isn't ours, and of odd metadata.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(BytesIO(data), formats=PILLOW_FORMATS)
        except Image.DecompressionBombError:
            raise ValueError(_too_many("more", MAX_PIXELS)) from None
    check_pixels(image.size, MAX_JPEG_PIXELS if image.format == "JPEG" else MAX_PIXELS)
    return image


def check_pixels(size: tuple[int, int], most: int) -> None:
    """Raises `ValueError` for an image of a size (width, height) with more than `most` pixels."""
    if size[0] * size[1] > most:
        raise ValueError(_too_many(f"{size[0]:,} × {size[1]:,}", most))


def _too_many(found: str, most: int) -> str:
    return f"it has {found} pixels, and the limit is {most:,} for its format"


def check_tiff(data: bytes, most: int) -> None:
    """Raises `ValueError` for a TIFF that has more than `most` pixels, also in one tile, or more
    than `_MAX_PIECES` strips or tiles, and for a broken directory.
    """
    try:
        entries = _tiff_entries(data)
    except struct.error:
        raise ValueError("its directory is cut short") from None
    sizes = [[entries.get(tag, (0, 0))[1] for tag in tags]
             for tags in ((_WIDTH, _HEIGHT), (_TILE_WIDTH, _TILE_HEIGHT))]  # fmt: skip
    for width, height in sizes:
        check_pixels((width, height), most)
    if 0 in sizes[0] or any(entries.get(tag) == (1, 0) for tag in (_TILE_WIDTH, _TILE_HEIGHT)):
        raise ValueError("its directory states no size")
    pieces = max(entries.get(tag, (0, 0))[0] for tag in (_STRIPS, _TILES))
    if pieces > _MAX_PIECES:
        raise ValueError(f"it has {pieces:,} strips or tiles, and the limit is {_MAX_PIECES:,}")


def _tiff_entries(data: bytes) -> dict[int, tuple[int, int]]:
    """Returns how many values each entry of a TIFF's first directory has, and the first of them
    where that is a whole number in the directory itself, otherwise 0; by the entry's tag. Raises
    `struct.error` for a directory that reaches beyond the file.
    """
    order = "<" if data.startswith(b"II") else ">"
    large = data[2:4] in (b"+\0", b"\0+")
    word = "Q" if large else "I"
    (start,) = struct.unpack_from(order + word, data, 8 if large else 4)
    (number,) = struct.unpack_from(order + ("Q" if large else "H"), data, start)
    first, length, len_value = (start + 8, 20, 8) if large else (start + 2, 12, 4)
    number = min(number, len(data) // length + 1)
    found = dict[int, tuple[int, int]]()
    for at in range(first, first + number * length, length):
        tag, kind, count = struct.unpack_from(f"{order}HH{word}", data, at)
        letter = _LETTERS.get(kind, "x") if count == 1 else "x"  # x skips a byte
        (value, *_) = (*struct.unpack_from(order + letter, data, at + length - len_value), 0)
        before = found.get(tag, (0, 0))  # of a tag that occurs twice, either may count
        found[tag] = (max(count, before[0]), max(value, before[1]))
    return found
