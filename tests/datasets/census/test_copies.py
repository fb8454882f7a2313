"""Copies: equal images are counted by kind, and val and train never share one."""

from pathlib import Path

import numpy as np
import pytest

from datasets.access import open_search_data
from datasets.census.copies import count_copies, describe_copies, group_equal
from datasets.prepare import prepare
from datasets.spec import DatasetError
from datasets.splits import stratified_split
from tests.datasets.test_census import PLAIN, jpeg, write


def test_groups_are_counted_by_kind() -> None:
    digests = np.array([[1, 1], [1, 2], [1, 1], [9, 9], [1, 2], [9, 9], [3, 3]], dtype=np.uint8)
    groups = group_equal(digests)
    labels = np.array([0, 0, 0, 1, 1, 0, 1])
    in_test = np.array([False, False, False, False, False, True, True])
    found = count_copies(groups, labels, in_test, list("abcdefg"))
    assert found == {
        "train_and_test": {"groups": 1, "images": 2, "examples": ["d = f"]},
        "across_classes": {"groups": 2, "images": 4, "examples": ["b = e", "d = f"]},
        "in_one_class": {"groups": 1, "images": 2, "examples": ["a = c"]},
    }
    assert len(describe_copies(found)) == 3


@pytest.mark.parametrize("seed", range(20))
def test_the_split_keeps_copies_together_and_is_the_old_one_without_them(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 5, 400)
    alone = stratified_split(labels, 0.1)
    assert all(
        np.array_equal(one, other)
        for one, other in zip(
            alone, stratified_split(labels, 0.1, groups=np.arange(400)), strict=True
        )
    )
    groups = np.where(generator.random(400) < 0.4, generator.integers(0, 40, 400), np.arange(400))
    rest, part = stratified_split(labels, 0.1, groups=groups)
    assert not set(groups[rest]) & set(groups[part])
    assert np.array_equal(np.sort(np.concatenate([rest, part])), np.arange(400))
    shares = np.bincount(labels[part], minlength=5) / np.bincount(labels)
    assert np.all(shares > 0.02)
    assert np.all(shares < 0.25)


def test_a_conversion_names_them_and_val_shares_none_with_train(tmp_path: Path, capsys) -> None:
    files = {f"train/ant/{number:02d}.jpg": jpeg(10 * (number // 2)) for number in range(40)}
    files |= {f"train/bee/{number:02d}.jpg": jpeg(10 * number + 5) for number in range(20)}
    files |= {"test/ant/a.jpg": jpeg(10), "test/bee/b.jpg": jpeg(255), "train/bee/x.jpg": jpeg(20)}
    files |= {"train/ant/broken.jpg": b"none"}
    manifest = prepare(
        "folder", source=write(tmp_path / "src", files), data=tmp_path / "data", size=16,
        workers=2, skip_broken=True,
    )  # fmt: skip
    assert {kind: each["groups"] for kind, each in manifest.copies.items()} == {
        "train_and_test": 1, "across_classes": 1, "in_one_class": 18,
    }  # fmt: skip
    assert manifest.copies["train_and_test"]["examples"] == [
        "train/ant/02.jpg = train/ant/03.jpg = test/ant/a.jpg"
    ]
    data = open_search_data(tmp_path / "data" / "folder")
    # Both images of a pair lie beside each other in the file.
    pairs = [set(split.indices[split.indices < 40] // 2) for split in (data.train, data.val)]
    assert not pairs[0] & pairs[1]
    assert len(data.val) >= 4


def test_a_source_without_copies_has_none(tmp_path: Path) -> None:
    files = {name: jpeg(20 * number) for number, name in enumerate(PLAIN)}
    manifest = prepare(
        "folder", source=write(tmp_path / "src", files), data=tmp_path / "data", size=16, workers=1
    )
    assert manifest.copies == {}


def test_a_class_of_copies_alone_is_named(tmp_path: Path) -> None:
    files = {f"train/{name}/{n}.jpg": jpeg(20 * n) for name in ("ant", "bee") for n in (1, 2)}
    files |= {f"train/cat/{n}.jpg": jpeg(90) for n in range(5)}
    files |= {f"test/{name}/1.jpg": jpeg(200) for name in ("ant", "bee", "cat")}
    files |= {"train/ant/2.jpg": jpeg(7), "train/ant/1.jpg": jpeg(14)}
    with pytest.raises(DatasetError, match=r"but the images of cat are copies of one another"):
        prepare(
            "folder", source=write(tmp_path / "src", files), data=tmp_path / "data", size=16,
            workers=1,
        )  # fmt: skip
