"""Decodes JPEGs directly into an array by libturbojpeg, without Pillow's parsing and copying.

FFCV needs this library too, so it exists wherever training runs. This module accepts only the
encodings that every version of libjpeg-turbo decodes alike. For these, the pixels equal those of a
Pillow that is built on libjpeg-turbo, as its wheels are. Pillow decodes all other files.
"""

import ctypes
import threading
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

LIBRARY = "libturbojpeg.so.0"
"""The dynamic linker finds the library under this name."""

# These constants of turbojpeg.h are the same in libjpeg-turbo 1.4 to 3.
_RGB = 0
"""This code of turbojpeg.h means pixels in the order red, green, blue."""
_SUBSAMPLINGS = {0, 1, 2, 3}
"""These codes mean 4:4:4, 4:2:2, 4:2:0 and gray.

Versions of the library differ in how they upsample 4:4:0 and 4:1:1, so these are left to Pillow.
"""
_COLOURS = {1, 2}
"""These codes mean the colour spaces YCbCr and gray."""


class _Decoder:
    """A `_Decoder` is one decompressor of libturbojpeg, for one thread at a time.

    The constructor raises `OSError` if the library is missing.
    """

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
        self._end = library.tjDestroy
        self._end.argtypes = (pointer,)
        self._handle = start()
        self._facts = [ctypes.c_int() for _ in range(4)]
        self._pointers = [ctypes.byref(fact) for fact in self._facts]

    def __del__(self) -> None:
        # A thread's decoder ends with it. What `__init__` didn't get as far as has nothing to end.
        if handle := getattr(self, "_handle", None):
            self._end(handle)

    def decode(self, data: bytes, out: NDArray[np.uint8]) -> bool:
        """Decodes `data` into `out`; see `decode_jpeg` for the arguments and the result."""
        if self._header(self._handle, data, len(data), *self._pointers):
            return False
        width, height, subsampling, colours = (fact.value for fact in self._facts)
        if (height, width, 3) != out.shape:
            return False
        if subsampling not in _SUBSAMPLINGS or colours not in _COLOURS:
            return False
        # A warning, for example about a truncated file, has a status like an error's.
        where = out.__array_interface__["data"][0]
        status = self._decompress(
            self._handle, data, len(data), where, width, 3 * width, height, _RGB, 0
        )
        return int(status) == 0


class _OfThread(threading.local):
    """An `_OfThread` holds each thread's own decoder: `None` if the library is missing or lacks a
    function.
    """

    def __init__(self) -> None:
        self.decoder: _Decoder | None = None
        with suppress(OSError, AttributeError):
            self.decoder = _Decoder()


_of_thread = _OfThread()


def decode_jpeg(data: bytes, out: NDArray[np.uint8]) -> bool:
    """Decodes a flawless JPEG of the size of `out` into `out`, and returns whether that succeeded.

    If the result is false, the content of `out` is undefined and Pillow must decode the data: they
    have another size or format, an EXIF orientation or a rare encoding, or are broken.

    out: uint8 (height, width, 3), RGB, C-contiguous.
    """
    if not data.startswith(b"\xff\xd8\xff") or b"Exif" in data:
        return False
    decoder = _of_thread.decoder
    return decoder is not None and decoder.decode(data, out)
