"""A node's own copy of prepared data: fetched once, verified before use, without test images."""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from common.remote import UriPlace
from datasets.access import TEST_FILE, TRAIN_FILE
from datasets.manifest import Manifest, read_manifest, write_manifest
from datasets.node_copy import check, copy_data, has_copy
from datasets.spec import DatasetError

CONTENT = {TRAIN_FILE: b"pixels" * 1000, TEST_FILE: b"secret" * 500}
PRINT = "f" * 64


def manifest(**changes) -> Manifest:
    files = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in CONTENT.items()
    }
    made = Manifest(
        dataset="tiny", fingerprint=PRINT, class_ids=("a", "b"), class_names=("a", "b"),
        image_size=64, train_per_class=(5, 5), test_per_class=(2, 2), mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2), split_seed=0, val_fraction=0.1, val=(0,), train_sample=(1,),
        files=files, source="here", source_fingerprint="", skipped=(), versions={},
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Prepared data, as far as copying is concerned."""
    folder = tmp_path / "shared" / "tiny"
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    write_manifest(manifest(), folder)
    return folder


def test_a_copy_holds_what_a_search_needs_and_no_test_images(shared: Path, tmp_path: Path) -> None:
    assert not has_copy(tmp_path / "copy", PRINT)
    copy = copy_data(UriPlace(str(shared)), PRINT, tmp_path / "copy")
    assert (copy / TRAIN_FILE).read_bytes() == CONTENT[TRAIN_FILE]
    assert not (copy / TEST_FILE).exists()
    found = read_manifest(copy)
    assert replace(found, files={}) == replace(manifest(), files={})
    assert set(found.files) == {TRAIN_FILE}
    assert has_copy(copy, PRINT)
    assert not has_copy(copy, "e" * 64)


class Counting(UriPlace):
    """Counts what is fetched, slowly enough for others to come meanwhile."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.fetched: list[str] = []

    def fetch(self, name: str, to: Path) -> bool:
        self.fetched.append(name)
        threading.Event().wait(0.05)
        return super().fetch(name, to)


def test_of_many_that_want_it_one_fetches(shared: Path, tmp_path: Path) -> None:
    place, found = Counting(str(shared)), []
    threads = [
        threading.Thread(target=lambda: found.append(copy_data(place, PRINT, tmp_path / "copy")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [tmp_path / "copy"] * 4
    assert sorted(place.fetched) == ["manifest.json", TRAIN_FILE]


def test_other_images_are_refused_before_they_are_fetched(shared: Path, tmp_path: Path) -> None:
    place = UriPlace(str(shared))
    for wanted in (check, copy_data):
        with pytest.raises(DatasetError, match=r"\(fingerprint eeeeeeeeeeeeeeee\), but holds othe"):
            wanted(place, "e" * 64, tmp_path / "copy")
    check(place, PRINT, tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").iterdir()} <= {".lock"}


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_what_arrives_damaged_is_not_used(shared: Path, tmp_path: Path, damage: str) -> None:
    beton = shared / TRAIN_FILE
    content = bytearray(beton.read_bytes())
    content[77] ^= 1
    if damage == "remove":
        beton.unlink()
    else:
        beton.write_bytes(bytes(content if damage == "flip" else content[:-9]))
    with pytest.raises(
        DatasetError, match="lacks it" if damage == "remove" else "must have sha256"
    ):
        copy_data(UriPlace(str(shared)), PRINT, tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {".lock"}
    (shared / TRAIN_FILE).write_bytes(CONTENT[TRAIN_FILE])
    assert has_copy(copy_data(UriPlace(str(shared)), PRINT, tmp_path / "copy"), PRINT)


def test_a_place_without_data_says_what_to_copy(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"manifest\.json is missing there; copy the folder"):
        check(UriPlace(str(tmp_path)), PRINT, tmp_path / "scratch")
