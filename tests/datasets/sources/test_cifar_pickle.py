"""Pickles of a few bytes that would fill the memory or never end are refused."""

import pickle
import struct

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
