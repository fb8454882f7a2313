"""Layouts: classes, counts and names come from the files; what is wrong is named."""

import zipfile
from pathlib import Path

import pytest

from datasets.archives.tree import open_tree
from datasets.registry import DATASETS, find_dataset
from datasets.sources import folder, tiny_imagenet
from datasets.spec import DatasetError


def write(root: Path, paths: list[str], annotations: str | None = None) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    if annotations is not None:
        (root / "val" / "val_annotations.txt").write_text(annotations, encoding="utf-8")
    return root


OFFICIAL = [
    "train/n2/images/a.JPEG",
    "train/n1/images/b.JPEG",
    "val/images/v1.JPEG",
    "val/images/v2.JPEG",
]
ANNOTATED = "v1.JPEG\tn2\t0\t0\t9\t9\nv2.JPEG\tn1\t0\t0\t9\t9\n"


def test_official_layout_gives_sorted_classes_names_and_samples(tiny_zip: Path) -> None:
    listing = tiny_imagenet.list_samples(open_tree(tiny_zip))
    assert listing.class_ids == ("n00000001", "n00000002", "n00000003", "n00000004")
    assert listing.class_names == ("class 1", "class 2", "class 3", "class 4")
    assert (len(listing.train), len(listing.test)) == (80, 24)
    for sample in listing.train:
        assert f"/train/{listing.class_ids[sample.label]}/" in sample.path
    assert [sample.label for sample in listing.test] == [n // 6 for n in range(24)]


@pytest.mark.parametrize("top", ["", "other/", "a/b/"])
def test_top_folder_may_have_any_name_or_be_absent(tmp_path: Path, top: str) -> None:
    write(tmp_path / top, OFFICIAL, ANNOTATED)
    listing = tiny_imagenet.list_samples(open_tree(tmp_path))
    assert [s.path for s in listing.train] == [f"{top}{OFFICIAL[1]}", f"{top}{OFFICIAL[0]}"]
    assert [s.label for s in listing.test] == [1, 0]
    assert listing.class_names == ("n1", "n2")


@pytest.mark.parametrize(
    ("paths", "annotations", "message"),
    [
        (["x.JPEG"], None, "must hold a folder train/"),
        (OFFICIAL[:2], None, "must hold val/val_annotations.txt, but it is missing"),
        (OFFICIAL, ANNOTATED + "v3.JPEG\tn1\n", r"val/images/v3\.JPEG: missing"),
        (OFFICIAL, ANNOTATED.replace("n1", "n9"), "n9 has some in val and none in train"),
        (OFFICIAL, "v1.JPEG\tn2\n", "n1 has some in train and none in val"),
        (OFFICIAL, "v1.JPEG n2\n", "line 1 is 'v1.JPEG n2'"),
        (OFFICIAL, "", "names none"),
    ],
)
def test_faulty_official_layout_is_named(
    tmp_path: Path, paths: list[str], annotations: str | None, message: str
) -> None:
    (tmp_path / "val").mkdir()
    with pytest.raises(DatasetError, match=message):
        tiny_imagenet.list_samples(open_tree(write(tmp_path, paths, annotations)))


def test_first_twenty_classes_are_the_sorted_ones(tmp_path: Path, tiny_zip: Path) -> None:
    ids = [f"n{number:02d}" for number in range(22)]
    paths = [f"train/{i}/images/{n}.JPEG" for i in reversed(ids) for n in range(2)]
    paths += [f"val/images/{i}.JPEG" for i in ids]
    annotations = "".join(f"{i}.JPEG\t{i}\n" for i in ids)
    listing = tiny_imagenet.list_first_classes(open_tree(write(tmp_path, paths, annotations)))
    assert listing.class_ids == tuple(ids[:20])
    assert (len(listing.train), len(listing.test)) == (40, 20)
    assert {sample.label for sample in listing.train} == set(range(20))
    with pytest.raises(DatasetError, match=r"at least 20 classes, but .* has 4"):
        tiny_imagenet.list_first_classes(open_tree(tiny_zip))


def test_folder_takes_any_depth_and_case_and_prefers_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        "train/cat/1.PNG",
        "train/cat/deep/er/2.jpg",
        "train/dog/3.WebP",
        "train/dog/notes.txt",
    ]
    write(tmp_path, [*paths, "val/cat/v.bmp", "val/dog/w.bmp"])
    listing = folder.list_samples(open_tree(tmp_path))
    assert listing.class_ids == ("cat", "dog")
    assert [(s.path, s.label) for s in listing.train] == [
        (p, n // 2) for n, p in enumerate(paths[:3])
    ]
    assert [s.path for s in listing.test] == ["val/cat/v.bmp", "val/dog/w.bmp"]
    assert capsys.readouterr().err == ""
    write(tmp_path, ["test/cat/t.jpeg", "test/dog/u.jpeg"])
    listing = folder.list_samples(open_tree(tmp_path))
    assert [s.path for s in listing.test] == ["test/cat/t.jpeg", "test/dog/u.jpeg"]
    assert "test/ is used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["train/a/1.png", "train/b/1.png"], "but holds train/;"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png"], "b has some in train and none in val"),
        (["train/a/1.png", "test/a/1.png", "test/c/1.png"], "c has some in test and none in train"),
        (["train/a/1.png", "test/a/1.png"], "at least 2 classes"),
    ],
)
def test_faulty_folder_is_named(tmp_path: Path, paths: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        folder.list_samples(open_tree(write(tmp_path, paths)))


def test_folder_inside_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in (
            "top/train/a/1.png",
            "top/train/b/1.png",
            "top/test/a/1.png",
            "top/test/b/1.png",
        ):
            archive.writestr(path, b"x")
    assert folder.list_samples(open_tree(tmp_path / "x.zip")).class_ids == ("a", "b")


def test_registry_knows_its_names_and_guesses() -> None:
    assert all(find_dataset(name).name == name for name in DATASETS)
    with pytest.raises(DatasetError, match=r"did you mean tiny-imagenet\?"):
        find_dataset("tinyimagenet")
    with pytest.raises(DatasetError, match="known are cifar100, demo, folder, tiny-imagenet"):
        find_dataset("mnist-c")
