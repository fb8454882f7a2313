"""Parts of a zip: read by their places, checked as closely as the whole."""

import pickle
import zipfile
from pathlib import Path

import pytest

from datasets.archives.tree import open_tree
from datasets.archives.zip_entries import ZipEntries
from datasets.archives.zip_tree import ZipTree
from datasets.spec import DatasetError

CONTENT = {"a": b"", "b/stored": b"plain", "b/deflated": b"again and " * 500, "ü" * 150: b"long"}


def write(path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression=method) as archive:
        for name, content in CONTENT.items():
            stored = zipfile.ZIP_STORED if name == "b/stored" else method
            archive.writestr(name, content, compress_type=stored)
    return path


def test_part_reads_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    tree = open_tree(write(tmp_path / "x.zip"))
    part = tree.part(list(CONTENT))
    assert isinstance(part, ZipEntries)
    again = pickle.loads(pickle.dumps(part))
    assert {path: again.read(path) for path in CONTENT} == CONTENT
    assert again.files() == tree.files()
    small = again.part(["b/stored"])
    assert small.read("b/stored") == b"plain"
    with pytest.raises(KeyError):
        small.read("a")
    assert len(pickle.dumps(small)) < 400


def test_archive_behind_other_bytes_is_read_too(tmp_path: Path) -> None:
    whole = write(tmp_path / "x.zip").read_bytes()
    (tmp_path / "behind.zip").write_bytes(b"#!/bin/sh\nexit\n" + whole)
    part = open_tree(tmp_path / "behind.zip").part(list(CONTENT))
    assert {path: part.read(path) for path in CONTENT} == CONTENT


def test_rare_methods_are_left_to_zipfile(tmp_path: Path) -> None:
    tree = open_tree(write(tmp_path / "x.zip", zipfile.ZIP_BZIP2))
    part = tree.part(list(CONTENT))
    assert isinstance(part, ZipTree)
    assert part.read("b/deflated") == CONTENT["b/deflated"]
    assert isinstance(tree.part(["b/stored"]), ZipEntries)


def test_every_kind_of_damage_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "x.zip")
    part = open_tree(file).part(list(CONTENT))
    data = bytearray(file.read_bytes())
    data[0] ^= 1  # the signature of the first entry's header
    data[data.index(b"plain")] ^= 1
    data[data.index(b"b/deflated") + len("b/deflated")] = 0x07  # a kind of block that isn't
    file.write_bytes(data)
    for path, reason in (("a", "header"), ("b/stored", "CRC-32"), ("b/deflated", "decompress")):
        with pytest.raises(
            DatasetError, match=rf"{path} in .*x\.zip is damaged \(.*{reason}.*copy"
        ):
            part.read(path)


def test_archive_that_was_cut_short_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "x.zip")
    part = open_tree(file).part(list(CONTENT))
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.index(b"plain") + 3])
    with pytest.raises(DatasetError, match="ends within it"):
        part.read("b/stored")
    with pytest.raises(DatasetError, match="header is missing"):
        part.read("b/deflated")
