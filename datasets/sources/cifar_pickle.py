"""Reads a pickle of the CIFAR archives without trusting it.

A pickle may name any function to be called when it is read. Those of CIFAR-100 were written by
Python 2 and hold dictionaries, lists, numbers, texts and arrays of uint8: nothing else is made
here.
"""

import io
import pickle
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_TUPLES = 24
"""An array takes seven; a tuple of two takes twice as long to hash as what is in it."""


class _ArrayClass:
    """Stands for `numpy.ndarray`, which these pickles name only as an argument."""


def _reconstruct(*_: object) -> NDArray[np.uint8]:
    """An empty array, as numpy's own makes it; its state, with shape and bytes, comes next."""
    return np.empty(0, dtype=np.uint8)


def _dtype(kind: object, *_: object) -> np.dtype[np.uint8]:
    if kind not in ("u1", b"u1"):
        raise pickle.UnpicklingError(f"arrays must be of uint8, but one is of {kind!r}")
    return np.dtype("u1", False, True)  # a copy, whose state may be set


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into a pickle that Python 2 can read."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"texts must be latin1, but one is {encoding!r}")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _ArrayClass,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What stands for the few names that are admitted; all others are refused."""
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which these files never hold"
            ) from None


def load(data: bytes) -> dict[str, Any]:
    """The dictionary in a pickle, its keys as text. Raises `ValueError` for anything else.

    Texts inside come as `bytes` where Python 2 wrote them.
    """
    try:
        _check_operations(data)
        # Python 2's texts hold an array's pixels too: as bytes they aren't copied around.
        value = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    # Pickle raises a dozen types for broken content: all mean the same here.
    except Exception as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if not isinstance(value, dict):
        raise ValueError(f"it holds no dictionary but a {type(value).__name__}")
    return {as_text(key): item for key, item in value.items()}


def _check_operations(data: bytes) -> None:
    """Refuses what a few bytes can do to a machine: a memo of gigabytes, tuples of tuples of tuples
    that take for ever to be hashed. Raises `ValueError`.
    """
    remembered = tuples = 0
    for operation, argument, _ in pickletools.genops(data):
        name = operation.name
        # Python 2 counts from 1 on.
        if name.endswith("PUT") and (type(argument) is not int or argument > remembered + 1):
            raise ValueError(f"it remembers number {argument} after {remembered} others")
        remembered += name.endswith("PUT") or name == "MEMOIZE"
        tuples += "TUPLE" in name
        if name == "DUP" or tuples > MOST_TUPLES:
            raise ValueError(f"it holds more than {MOST_TUPLES} tuples, or copies")


def as_text(value: object) -> str:
    """A text as Python 3 knows it. Raises `ValueError` for what is none."""
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")
    return value


def shown(value: object) -> str:
    """A value in an error: a number as it is, of others, which may be endless, what they are."""
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"
