"""A census: whatever a source holds is an image of the dataset, an error, or counted by reason."""

import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from datasets.access import open_search_data
from datasets.archives.tree import open_tree
from datasets.census.left_out import describe_left_out
from datasets.manifest import Manifest, read_manifest
from datasets.prepare import main, prepare
from datasets.spec import DatasetError


def jpeg(colour: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (16, 16), (colour % 256, 90, 30)).save(file, "JPEG")
    return file.getvalue()


def split(name: str, classes: Mapping[str, int], suffix: str = ".jpg") -> dict[str, bytes]:
    return {
        f"{name}/{each}/{number:03d}{suffix}": jpeg(40 * number + len(name))
        for each, count in classes.items()
        for number in range(count)
    }


PLAIN = split("train", {"cat": 4, "dog": 4}) | split("test", {"cat": 2, "dog": 2})


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def convert(tmp_path: Path, source: Path, **options: bool) -> Manifest:
    return prepare("folder", source=source, data=tmp_path / "data", size=16, workers=1, **options)


def counts(manifest: Manifest) -> dict[str, int]:
    return {reason: found["count"] for reason, found in manifest.left_out.items()}


def test_a_plain_source_leaves_nothing_out(tmp_path: Path) -> None:
    manifest = convert(tmp_path, write(tmp_path / "src", PLAIN))
    assert manifest.left_out == {}
    assert manifest.train_images + manifest.val_images + manifest.test_images == 12


def test_every_file_that_is_no_image_of_a_class_is_counted_by_reason(
    tmp_path: Path, capsys
) -> None:
    rest = {
        "train/cat/notes.txt": b"two cats",
        "train/cat/Thumbs.db": b"x",
        "train/cat/.DS_Store": b"x",
        "train/loose.jpg": jpeg(1),
        "train/@eaDir/cat/000.jpg": jpeg(1),
        "test/list.csv": b"x",
        "unlabelled/1.jpg": jpeg(1),
        "unlabelled/2.jpg": jpeg(2),
        "README.md": b"x",
        ".git/config": b"x",
    }
    source = write(tmp_path / "src", PLAIN | rest)
    (source / "train" / "cat" / "old.txt").symlink_to("/gone/old.txt")
    (source / "train" / "cat" / "again").symlink_to(source / "train")
    os.mkfifo(source / "train" / "cat" / "pipe")
    manifest = convert(tmp_path, source)
    assert counts(manifest) == {
        "not_an_image": 2, "without_class": 1, "unlabelled": 2, "outside": 1, "hidden": 2,
        "other_program": 2, "broken_link": 1, "loop": 1, "no_file": 1,
    }  # fmt: skip
    assert manifest.left_out["unlabelled"]["examples"] == ["unlabelled/1.jpg", "unlabelled/2.jpg"]
    assert read_manifest(tmp_path / "data" / "folder").left_out == manifest.left_out
    assert len(describe_left_out(manifest.left_out)) == 9
    main(["folder", "--data", str(tmp_path / "data")])
    shown = capsys.readouterr().out
    assert "left out: 1 directly in a split's folder, so without a class" in shown
    assert "(train/loose.jpg)" in shown


def test_many_are_counted_and_a_few_are_named(tmp_path: Path) -> None:
    texts = {f"train/cat/{number:03d}.txt": b"label" for number in range(300)}
    manifest = convert(tmp_path, write(tmp_path / "src", PLAIN | texts))
    found = manifest.left_out["not_an_image"]
    assert (found["count"], found["examples"][0]) == (300, "train/cat/000.txt")
    assert len(found["examples"]) == 5


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", "", ".jpg.bak"])
def test_an_image_is_known_by_its_bytes(tmp_path: Path, suffix: str) -> None:
    files = PLAIN | split("train", {"bird": 4}, suffix) | split("test", {"bird": 2}, suffix)
    plain = PLAIN | split("train", {"bird": 4}) | split("test", {"bird": 2})
    manifest = convert(tmp_path, write(tmp_path / "src", files))
    expected = convert(tmp_path / "plain", write(tmp_path / "plain" / "src", plain))
    assert manifest.fingerprint == expected.fingerprint
    assert len(manifest.class_ids) == 3


def test_a_linked_class_in_the_same_root_is_read_and_a_loop_is_not(tmp_path: Path) -> None:
    birds = split("extra/train", {"bird": 4}) | split("extra/test", {"bird": 2})
    source = write(tmp_path / "src", PLAIN | birds)
    for part in ("train", "test"):
        (source / part / "bird").symlink_to(f"../extra/{part}/bird")
    (source / "extra" / "all").symlink_to("../extra")
    manifest = convert(tmp_path, source)
    assert manifest.class_ids == ("bird", "cat", "dog")
    assert manifest.train_per_class == (4, 4, 4)
    # The birds in extra/ are there a second time, without a split.
    assert counts(manifest) == {"unlabelled": 6, "loop": 1}


def test_links_to_one_another_end(tmp_path: Path) -> None:
    source = write(tmp_path / "src", PLAIN | {"a/x.txt": b"x", "b/y.txt": b"y"})
    (source / "a" / "b").symlink_to("../b")
    (source / "b" / "a").symlink_to("../a")
    assert counts(convert(tmp_path, source)) == {"outside": 4, "loop": 2}


def test_a_class_folder_without_images_is_an_error_that_names_it(tmp_path: Path) -> None:
    source = write(tmp_path / "src", PLAIN | {"train/fish/notes.txt": b"x"})
    (source / "train" / "bird" / "inner").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"but train/bird, train/fish in .* --skip-empty"):
        convert(tmp_path, source)
    manifest = convert(tmp_path, source, skip_empty=True)
    assert manifest.class_ids == ("cat", "dog")
    assert manifest.left_out["empty_folder"]["examples"] == ["train/bird", "train/fish"]


def test_a_link_to_a_missing_image_is_a_broken_image(tmp_path: Path) -> None:
    source = write(tmp_path / "src", PLAIN)
    (source / "train" / "cat" / "old.jpg").symlink_to("/gone/old.jpg")
    with pytest.raises(DatasetError, match=r"old\.jpg: a link to /gone/old\.jpg, which is missing"):
        convert(tmp_path, source)
    manifest = convert(tmp_path, source, skip_broken=True)
    assert manifest.skipped == (("train/cat/old.jpg", "a link to /gone/old.jpg, which is missing"),)


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Lets a test run without root's right to read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


def test_a_folder_that_may_not_be_read_is_named(as_nobody: None) -> None:
    # Beside pytest's own folders, which belong to root alone.
    with tempfile.TemporaryDirectory() as made:
        source = write(Path(made), PLAIN)
        (source / "train" / "dog").chmod(0)
        with pytest.raises(DatasetError) as caught:
            open_tree(source).files()
        (source / "train" / "dog").chmod(0o700)
    start = f"The folder {source}/train/dog can't be read (Permission denied)"
    assert str(caught.value).startswith(start)


def test_names_that_can_t_be_shown_are_refused_before_any_image_is_read(tmp_path: Path) -> None:
    source = write(tmp_path / "src", PLAIN | split("train", {"caf\udce9": 2, "Cat ": 2}))
    with pytest.raises(DatasetError) as caught:
        convert(tmp_path, source)
    assert [error.split(" in train ")[0] for error in caught.value.errors] == [
        "The class folder «Cat\\x20»", "The class folder «caf\\xe9»",
    ]  # fmt: skip


def test_a_file_name_in_other_bytes_is_read_and_shown_safely(tmp_path: Path) -> None:
    source = write(tmp_path / "src", PLAIN | {"train/cat/\udce9\n.jpg": b"none"})
    manifest = convert(tmp_path, source, skip_broken=True)
    assert manifest.skipped[0][0] == "train/cat/\\xe9\\n.jpg"


def test_one_class_in_two_unicode_forms_is_one(tmp_path: Path) -> None:
    files = PLAIN | split("train", {"caf\u00e9": 2}) | split("test", {"cafe\u0301": 1})
    assert "caf\u00e9" in convert(tmp_path, write(tmp_path / "src", files)).class_ids


def test_classes_that_differ_in_case_between_the_splits_are_shown_beside_each_other(
    tmp_path: Path,
) -> None:
    files = PLAIN | split("train", {"Bird": 2}) | split("test", {"bird": 1})
    with pytest.raises(DatasetError) as caught:
        convert(tmp_path, write(tmp_path / "src", files))
    assert len(caught.value.errors) == 2
    assert "Bird («bird» in test is written otherwise) has some in train" in str(caught.value)


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "Test"), ("training", "valid"), ("TRAIN", "Validation")]
)
def test_splits_may_have_their_other_usual_names(tmp_path: Path, train: str, test: str) -> None:
    files = split(train, {"cat": 4, "dog": 4}) | split(test, {"cat": 2, "dog": 2})
    manifest = convert(tmp_path, write(tmp_path / "src", files))
    assert (manifest.train_images, manifest.val_images, manifest.test_images) == (6, 2, 4)


def test_an_unlabelled_test_folder_gives_way_to_a_val_folder_with_classes(
    tmp_path: Path, capsys
) -> None:
    """As Tiny ImageNet's folders are after its validation images were sorted into classes."""
    files = split("train", {"n1/images": 4, "n2/images": 4}) | split("val", {"n1": 2, "n2": 2})
    source = write(tmp_path / "src", files | {"test/images/t.jpg": jpeg(1)})
    manifest = convert(tmp_path, source)
    assert (manifest.class_ids, manifest.test_images) == (("n1", "n2"), 4)
    assert counts(manifest) == {"unlabelled": 1}
    assert "val/ is used as test, test/ is not" in capsys.readouterr().err


def test_all_too_small_classes_are_named_at_once(tmp_path: Path) -> None:
    few = split("train", {"ant": 1, "bee": 1}) | split("test", {"ant": 1, "bee": 1})
    with pytest.raises(DatasetError, match=r"but ant has 1, bee has 1; add some or remove these"):
        convert(tmp_path, write(tmp_path / "src", PLAIN | few))


@pytest.mark.parametrize(
    "spell",
    [lambda name: f"./{name}", lambda name: name.replace("/", "\\")],
    ids=["dot", "windows"],
)
def test_an_archive_s_paths_may_be_written_in_other_ways(tmp_path: Path, spell) -> None:
    plain = convert(tmp_path, write(tmp_path / "src", PLAIN))
    path = tmp_path / "src.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in PLAIN.items():
            info = zipfile.ZipInfo("x")
            info.filename = spell(name)
            archive.writestr(info, content)
    again = convert(tmp_path / "zip", path)
    assert again.fingerprint == plain.fingerprint
    assert again.left_out == {}


def test_an_archive_s_census_counts_as_a_folder_s_does(tmp_path: Path) -> None:
    path = tmp_path / "src.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("train/bird")
        for name, content in PLAIN.items():
            archive.writestr(name, content)
        archive.writestr("__MACOSX/train/cat/._000.jpg", b"x")
        archive.writestr("train/cat/notes.txt", b"x")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("train/cat/000.jpg", jpeg(200))
    with pytest.raises(DatasetError, match=r"but train/bird in .* --skip-empty"):
        convert(tmp_path, path)
    manifest = convert(tmp_path, path, skip_empty=True)
    assert counts(manifest) == {
        "not_an_image": 1, "other_program": 1, "replaced": 1, "empty_folder": 1,
    }  # fmt: skip


def test_an_archive_s_names_are_utf8_with_or_without_the_mark(tmp_path: Path) -> None:
    path = tmp_path / "src.zip"
    files = PLAIN | split("train", {"b\u00e4r": 2}) | split("test", {"b\u00e4r": 1})
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    data = bytearray(path.read_bytes())
    position = -1
    while (position := data.find(b"PK\x01\x02", position + 1)) >= 0:
        data[position + 9] &= ~0x08  # the mark in the central entry, bit 11
    path.write_bytes(data)
    assert "b\u00e4r" in convert(tmp_path, path).class_ids


def test_an_image_listed_twice_in_the_annotations_is_named(tmp_path: Path) -> None:
    images = split("train", {"n1/images": 2, "n2/images": 2}) | {
        f"val/images/v{number}.JPEG": jpeg(number) for number in (1, 2)
    }
    lines = "\ufeffv1.JPEG\tn1\n./v2.JPEG\tn2\n{}"
    for more, fault in (("", None), ("v1.JPEG\tn2\n", "lines 1 and 3 both name v1.JPEG")):
        source = tmp_path / f"src{len(more)}"
        write(source, images | {"val/val_annotations.txt": lines.format(more).encode()})
        data = tmp_path / f"data{len(more)}"
        if fault is None:
            assert prepare("tiny-imagenet", source=source, data=data, workers=1).left_out == {}
        else:
            with pytest.raises(DatasetError, match=fault):
                prepare("tiny-imagenet", source=source, data=data, workers=1)


def test_a_constant_channel_is_shifted_and_not_divided(tmp_path: Path, capsys) -> None:
    def green(number: int) -> bytes:
        file = BytesIO()
        Image.new("RGB", (16, 16), (0, 40 * number, 9)).save(file, "PNG")
        return file.getvalue()

    files = {name: green(number % 5) for number, name in enumerate(PLAIN)}
    manifest = convert(tmp_path, write(tmp_path / "src", files))
    assert (manifest.std[0], manifest.std[2]) == (0, 0)
    images = open_search_data(tmp_path / "data" / "folder").images
    assert images.std == (1, manifest.std[1], 1)
    assert images.mean == manifest.mean
    main(["folder", "--data", str(tmp_path / "data")])
    assert "so shifted and not scaled: red, blue" in capsys.readouterr().out
