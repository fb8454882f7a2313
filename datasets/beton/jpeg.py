"""JPEGs straight into an array by libturbojpeg, without Pillow's parsing and copying.

FFCV needs the library too, so it is there wherever training is. Only the encodings that
libjpeg-turbo has always decoded alike are taken, to the same pixels as by a Pillow that is built
on it, as its wheels are; the rest is left to Pillow.
"""

import ctypes
from functools import cache

import numpy as np
from numpy.typing import NDArray

LIBRARY = "libturbojpeg.so.0"

# Constants of turbojpeg.h, the same in libjpeg-turbo 1.4 to 3.
_RGB = 0
_SUBSAMPLINGS = {0, 1, 2, 3}
"""4:4:4, 4:2:2, 4:2:0, gray. How 4:4:0 and 4:1:1 are upsampled has changed between versions."""
_COLOURS = {1, 2}
"""YCbCr and gray."""


class _Decoder:
    """One decompressor; it serves one thread at a time. Raises `OSError` without the library."""

    def __init__(self) -> None:
        library = ctypes.CDLL(LIBRARY)
        whole, pointer = ctypes.c_int, ctypes.c_void_p
        buffer = (pointer, ctypes.c_char_p, ctypes.c_ulong)
        start = library.tjInitDecompress
        start.argtypes, start.restype = (), pointer
        self._header = library.tjDecompressHeader3
        self._header.argtypes = (*buffer, pointer, pointer, pointer, pointer)
        self._decompress = library.tjDecompress2
        self._decompress.argtypes = (*buffer, pointer, whole, whole, whole, whole, whole)
        self._handle = start()
        self._facts = [ctypes.c_int() for _ in range(4)]
        self._pointers = [ctypes.byref(fact) for fact in self._facts]

    def decode(self, data: bytes, out: NDArray[np.uint8]) -> bool:
        """See `decode_jpeg`."""
        if self._header(self._handle, data, len(data), *self._pointers):
            return False
        width, height, subsampling, colours = (fact.value for fact in self._facts)
        if (height, width, 3) != out.shape:
            return False
        if subsampling not in _SUBSAMPLINGS or colours not in _COLOURS:
            return False
        # Warnings, as for a file cut short, come back like errors.
        where = out.__array_interface__["data"][0]
        status = self._decompress(
            self._handle, data, len(data), where, width, 3 * width, height, _RGB, 0
        )
        return int(status) == 0


@cache
def _decoder() -> _Decoder | None:
    try:
        return _Decoder()
    except (OSError, AttributeError):
        return None


def decode_jpeg(data: bytes, out: NDArray[np.uint8]) -> bool:
    """Whether `data` is a flawless JPEG of `out`'s size, which then holds its pixels.

    out: uint8 (height, width, 3), RGB, C-contiguous. After a `False` its content is undefined,
    and Pillow has to say what the data is: another size or format, an orientation in EXIF, a
    rare encoding, or a broken file.
    """
    if not data.startswith(b"\xff\xd8\xff") or b"Exif" in data:
        return False
    decoder = _decoder()
    return decoder is not None and decoder.decode(data, out)
