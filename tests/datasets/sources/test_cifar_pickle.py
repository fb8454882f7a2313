"""Pickles of a few bytes that would fill the memory or never end are refused."""

import pickle
import struct
from typing import Any

import numpy as np
import pytest

from datasets.sources.cifar_pickle import MAX_TUPLES, load
from tests.datasets.sources.cifar_archive import cifar_files, python2_pickle


def test_the_real_ones_are_read() -> None:
    assert {"data", "fine_labels"} <= load(python2_pickle(cifar_files(3, 5)["train"])).keys()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02}r" + struct.pack("<I", 2**31) + b".", "remembers number 2147483648 after 0"),
        (b"\x80\x02}p99999999\n.", "remembers number 99999999"),
        (b"\x80\x02}" + b")2\x86" * 60 + b"K\x01s.", "tuples, or copies"),
        (b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s.", f"more than {MAX_TUPLES} tuples"),
        (pickle.dumps({"a": {1, 2}}), ""),
    ],
    ids=["binary memo", "text memo", "copied tuples", "remembered tuples", "a set"],
)
def test_what_would_fill_the_memory_is_refused(data: bytes, message: str) -> None:
    if not message:
        assert load(data) == {"a": {1, 2}}
        return
    with pytest.raises(ValueError, match=message):
        load(data)


PLAIN = (3, "|", None, None, None, -1, -1, 0)


class Described:
    """Pickles as an array of a dtype with any state, of any shape and bytes."""

    def __init__(self, state: tuple[object, ...], shape: tuple[int, ...], data: bytes) -> None:
        self.state, self.shape, self.data = state, shape, data

    def __reduce__(self) -> Any:
        whole = (1, self.shape, StatedDtype(self.state), False, self.data)
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), whole


class StatedDtype:
    def __init__(self, state: tuple[object, ...]) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        return np.dtype, ("u1", False, True), self.state


def test_an_array_is_read_with_its_shape() -> None:
    read = load(pickle.dumps({"data": Described(PLAIN, (2, 3), b"abcdef")}, protocol=2))["data"]
    assert (read.dtype, read.tolist()) == (np.uint8, [[97, 98, 99], [100, 101, 102]])


@pytest.mark.parametrize(
    ("state", "shape", "message"),
    [
        ((3, "|", None, None, None, 8, 8, 1), (1,), "isn't plain uint8"),  # bytes as addresses
        ((3, "|", None, None, None, -1, -1, 63), (6,), "isn't plain uint8"),
        ((3, "|", (np.dtype("u1"), (6,)), None, None, -1, -1, 0), (1,), "isn't plain uint8"),
        ((3, "|", None, ("a",), {"a": (np.dtype("u1"), 5)}, 6, 1, 0), (1,), "isn't plain"),
        (PLAIN, (10**13,), r"an array of shape \(10000000000000,\) has 6 bytes"),
        (PLAIN, (-2, -3), r"an array of shape \(-2, -3\) has 6 bytes"),
    ],
)
def test_a_dtype_or_a_shape_that_the_bytes_don_t_have_is_refused(
    state: tuple[object, ...], shape: tuple[int, ...], message: str
) -> None:
    data = pickle.dumps({"data": Described(state, shape, b"abcdef")}, protocol=2)
    with pytest.raises(ValueError, match=message):
        load(data)


def test_what_python_says_of_a_pickle_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"^A load persistent id instruction was [^\n]*$"):
        load(b"\x80\x02K\x01Q.")


def test_labels_that_never_end_are_named_by_their_kind() -> None:
    from datasets.sources.cifar100 import _images

    nested: list[object] = []
    for _ in range(80):
        nested = [nested, nested]
    content = cifar_files(2, 5)["train"] | {"fine_labels": [nested] * 10}
    with pytest.raises(ValueError, match="the label a list in it is none of"):
        _images(python2_pickle(content), 2)
