"""Reads a pickle of the CIFAR archives without trusting it.

A pickle may name any function, which Python calls when it reads the pickle. The pickles of
CIFAR-100 were written by Python 2; they hold dictionaries, lists, numbers, texts and arrays of
uint8. This module builds nothing else.
"""

import io
import pickle
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TUPLES = 24
"""A pickle may hold at most this many tuples.

An array takes seven of them. Nested tuples are dangerous: a tuple of two takes twice as long to
hash as its content.
"""


class _ArrayClass:
    """This class stands for `numpy.ndarray`, which these pickles name only as an argument."""


def _reconstruct(*_: object) -> NDArray[np.uint8]:
    """Returns an empty array, as numpy's function does; the pickle sets its shape and bytes
    next.
    """
    return np.empty(0, dtype=np.uint8)


def _dtype(kind: object, *_: object) -> np.dtype[np.uint8]:
    """Returns the dtype uint8. Raises `pickle.UnpicklingError` for another one."""
    if kind not in ("u1", b"u1"):
        raise pickle.UnpicklingError(f"arrays must be of uint8, but one is of {kind!r}")
    return np.dtype("u1", False, True)  # a copy, because the pickle sets its state


def _encode(text: str, encoding: str) -> bytes:
    """Encodes a text: Python 3 writes bytes in this way into a pickle that Python 2 can read.

    Raises `pickle.UnpicklingError` for another encoding than latin1.
    """
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"texts must be latin1, but one is {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _ArrayClass,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}
"""These names may occur in a pickle; each one is replaced by its value here."""


class _Unpickler(pickle.Unpickler):
    """A `_Unpickler` reads a pickle that may name only what `_ALLOWED` lists."""

    def find_class(self, module: str, name: str) -> Any:
        """Returns the replacement of an allowed name.

        Raises `pickle.UnpicklingError` for all others.
        """
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which these files never hold"
            ) from None


def load(data: bytes) -> dict[str, Any]:
    """Returns the dictionary in a pickle, with its keys as text.

    Raises `ValueError` for anything else.

    Texts inside are `bytes` if Python 2 wrote them.
    """
    try:
        _check_operations(data)
        # Python 2 stored an array's pixels as a text, which is read as bytes without a copy.
        value = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    # Pickle raises a dozen types for broken content, which all mean the same here.
    except Exception as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if not isinstance(value, dict):
        raise ValueError(f"it holds no dictionary but a {type(value).__name__}")
    return {as_text(key): item for key, item in value.items()}


def _check_operations(data: bytes) -> None:
    """Raises `ValueError` for a pickle whose few bytes would exhaust memory or time.

    Such a pickle can ask for a memo of gigabytes, or nest tuples so deep that hashing them takes
    for ever.
    """
    memorised = tuples = 0
    for operation, argument, _ in pickletools.genops(data):
        name = operation.name
        # The numbers must be consecutive; Python 2 counts from 1.
        if name.endswith("PUT") and (type(argument) is not int or argument > memorised + 1):
            raise ValueError(f"it remembers number {argument} after {memorised} others")
        memorised += name.endswith("PUT") or name == "MEMOIZE"
        tuples += "TUPLE" in name
        if name == "DUP" or tuples > MAX_TUPLES:
            raise ValueError(f"it holds more than {MAX_TUPLES} tuples, or copies")


def as_text(value: object) -> str:
    """Returns a text as `str`. Raises `ValueError` for a value that is no text."""
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise ValueError(f"{describe_value(value)} is no text")
    return value


def describe_value(value: object) -> str:
    """Returns a value for an error message: a number as it is, or else the name of its type.

    Other values may be endlessly long.
    """
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
