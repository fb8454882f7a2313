"""Reads a pickle of the CIFAR archives without trusting it.

A pickle may name any function, which Python calls when it reads the pickle. The pickles of
CIFAR-100 were written by Python 2; they hold dictionaries, lists, numbers, texts and arrays of
uint8. This module builds nothing else.
"""

import io
import math
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


class _Uint8:
    """A `_Uint8` stands for the dtype uint8; numpy's own would believe a state with other fields,
    sizes and flags, under which the bytes of an array count as addresses.
    """

    def __init__(self, kind: object, *_: object) -> None:
        """Raises `pickle.UnpicklingError` for another dtype."""
        if kind not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"arrays must be of uint8, but one is of {kind!r}")

    def __setstate__(self, state: object) -> None:
        """Raises `pickle.UnpicklingError` for a state that uint8 doesn't have."""
        if not isinstance(state, tuple) or state[1:] not in _UINT8_STATES:
            raise pickle.UnpicklingError("the dtype of an array isn't plain uint8")


_UINT8_STATES = [(order, None, None, None, -1, -1, 0) for order in ("|", b"|")]
"""One of these stands behind the number of a version in what numpy writes."""


class _Array:
    """An `_Array` stands for an array that a pickle describes: uint8, in `values`."""

    values: NDArray[np.uint8] | None = None

    def __init__(self, *_: object) -> None:
        """Takes the arguments of numpy's function, which makes an empty array."""

    def __setstate__(self, state: Any) -> None:
        """Takes shape and bytes. Raises `pickle.UnpicklingError` where they don't fit."""
        _, shape, dtype, by_columns, data = state
        if not isinstance(dtype, _Uint8) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array has no bytes of uint8")
        if min(shape, default=0) < 0 or math.prod(shape) != len(data):
            raise pickle.UnpicklingError(f"an array of shape {shape} has {len(data)} bytes")
        order: Any = "F" if by_columns else "C"
        self.values = np.frombuffer(data, np.uint8).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    """Encodes a text: Python 3 writes bytes in this way into a pickle that Python 2 can read.

    Raises `pickle.UnpicklingError` for another encoding than latin1.
    """
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"texts must be latin1, but one is {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _ArrayClass,
    ("numpy", "dtype"): _Uint8,
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
    return {
        as_text(key): item.values if isinstance(item, _Array) else item
        for key, item in value.items()
    }


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
