"""Errors about what a source must hold, and how its folders are called."""

import os
import re
import shutil
import subprocess
import unicodedata
import zipfile
from pathlib import Path

from tests.conftest import TINY_CLASSES, tiny_image
from tests.remedies.harness import Command, Steps, case
from tests.remedies.images import image, prepare_folder, write_images
from tests.remedies.places import ROOT

LAYOUT, FOLDER = "datasets/sources/layout.py", "datasets/sources/folder.py"
NAMES, TINY = "datasets/census/names.py", "datasets/sources/tiny_imagenet.py"
ALL_FAULTS = (f"{FOLDER}::list_samples", "DatasetError(faults)")


@case(f"{LAYOUT}::find_train", "with one folder a class")
def the_folder_below_the_root(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src") / "train" / "cat"
    command = prepare_folder(source, tmp_path)
    refusal = yield command
    assert "pass the archive or the folder that train/ lies in" in refusal.text
    return command.replace(source, tmp_path / "src")


@case(f"{LAYOUT}::find_train", "with one folder a class")
def folders_that_are_not_split_yet(tmp_path: Path) -> Steps:
    photos = write_images(tmp_path, splits=("photos",), each=12) / "photos"
    refusal = yield prepare_folder(photos, tmp_path)
    tutorial = (ROOT / refusal.find(r"see (docs/\S+\.md)")).read_text(encoding="utf-8")
    (script,) = re.findall(r"```bash\n(mkdir -p mine/test.*?)```", tutorial, re.DOTALL)
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, check=True)
    return prepare_folder(tmp_path / "mine", tmp_path)


@case(f"{LAYOUT}::find_train", "side by side")
def two_training_folders(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src", splits=("train", "Train", "test"))
    refusal = yield prepare_folder(source, tmp_path)
    shutil.rmtree(source / refusal.find(r"holds (\w+), \w+ side by side; remove"))


@case(f"{LAYOUT}::find_class_faults", "Every class must have images", *ALL_FAULTS)
def a_class_without_test_images(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    (source / "train" / "bird").mkdir()
    for number in range(4):
        (source / "train" / "bird" / f"{number}.jpg").write_bytes(image(50 + number))
    refusal = yield prepare_folder(source, tmp_path)
    shutil.rmtree(source / "train" / refusal.find(r"but (\w+) has some in train and none in test"))


@case(f"{LAYOUT}::find_class_faults", "Every class must have images", *ALL_FAULTS)
def a_class_in_another_case(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    (source / "test" / "cat").rename(source / "test" / "Cat")
    refusal = yield prepare_folder(source, tmp_path)
    twin = refusal.find(r"cat \(«(\w+)» in test is written otherwise\)")
    (source / "test" / twin).rename(source / "test" / "cat")


@case(f"{FOLDER}::_class_faults", "at least 2 classes", *ALL_FAULTS)
def a_single_class(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    for split in ("train", "test"):
        shutil.rmtree(source / split / "dog")
    refusal = yield prepare_folder(source, tmp_path)
    for number, folder in enumerate(re.findall(r"(\w+)/CLASS/", refusal.text) * 4):
        (source / folder / "bird").mkdir(exist_ok=True)
        (source / folder / "bird" / f"{number}.jpg").write_bytes(image(50 + number))


@case(f"{FOLDER}::list_samples", "must hold a folder of images a class")
def images_without_class_folders(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src", each=12)
    for path in [*source.glob("*/*/*.jpg")]:
        path.rename(path.parents[1] / f"{path.parent.name}-{path.name}")
    for split in ("train", "test"):
        shutil.rmtree(source / split / "cat")
        shutil.rmtree(source / split / "dog")
    refusal = yield prepare_folder(source, tmp_path)
    assert "cat-1.jpg" in refusal.text
    for split in re.findall(r"(\w+)/CLASS/", refusal.text.partition(";")[2]):
        for path in [*(source / split).glob("*.jpg")]:
            folder = path.parent / path.name.partition("-")[0]
            folder.mkdir(exist_ok=True)
            path.rename(folder / path.name)


@case(f"{FOLDER}::_find_test", "with images beside")
def no_test_images(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src", splits=("train",), each=10)
    refusal = yield prepare_folder(source, tmp_path)
    folder = source / refusal.find(r"move about a tenth of each class into (\w+)/")
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        first = min((source / "train" / name).iterdir())
        first.rename(folder / name / first.name)


@case(f"{NAMES}::find_name_faults", "rename the folder", *ALL_FAULTS)
def names_that_can_t_be_shown(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    for split in ("train", "test"):
        (source / split / "cat").rename(source / split / "cat ")
        (source / split / "dog").rename(source / split / os.fsdecode(b"caf\xe9"))
    refusal = yield prepare_folder(source, tmp_path)
    assert refusal.text.count("rename the folder.") == 4
    for split in ("train", "test"):
        (source / split / "cat ").rename(source / split / "cat")
        (source / split / os.fsdecode(b"caf\xe9")).rename(source / split / "dog")


@case(f"{NAMES}::find_name_faults", "two Unicode forms", *ALL_FAULTS)
def one_name_in_two_forms(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    (source / "train" / "cat").rename(source / "train" / composed)
    (source / "test" / "cat").rename(source / "test" / composed)
    (source / "train" / decomposed).mkdir()
    (source / "train" / decomposed / "more.jpg").write_bytes(image(50))
    refusal = yield prepare_folder(source, tmp_path)
    assert "put their images into one folder" in refusal.text
    for path in (source / "train" / decomposed).iterdir():
        path.rename(source / "train" / composed / path.name)
    (source / "train" / decomposed).rmdir()


def extract(tiny_zip: Path, tmp_path: Path) -> Path:
    """Extracts the archive, as its sentences advise, and returns its folder."""
    with zipfile.ZipFile(tiny_zip) as archive:
        archive.extractall(tmp_path / "src")
    return tmp_path / "src" / "tiny-imagenet-200"


def prepare_tiny(tmp_path: Path) -> Command:
    """Returns the command that prepares the extracted archive."""
    return prepare_folder(tmp_path / "src", tmp_path).replace("folder", "tiny-imagenet")


@case(f"{TINY}::list_samples", "has no images in")
def training_images_that_are_gone(tmp_path: Path, tiny_zip: Path) -> Steps:
    for path in extract(tiny_zip, tmp_path).glob("train/*/images/*"):
        path.with_suffix(".txt").write_text("", encoding="utf-8")
        path.unlink()
    refusal = yield prepare_tiny(tmp_path)
    assert "extract the archive again" in refusal.text
    extract(tiny_zip, tmp_path)


@case(
    f"{TINY}::list_samples", "DatasetError(faults)",
    f"{LAYOUT}::find_class_faults", "Every class must have images",
)  # fmt: skip
def a_class_that_is_gone(tmp_path: Path, tiny_zip: Path) -> Steps:
    shutil.rmtree(extract(tiny_zip, tmp_path) / "train" / TINY_CLASSES[0])
    refusal = yield prepare_tiny(tmp_path)
    assert "extract the archive again" in refusal.text
    extract(tiny_zip, tmp_path)


@case(f"{TINY}::list_first_classes", "needs a source with at least")
def too_few_classes(tmp_path: Path, tiny_zip: Path) -> Steps:
    command = prepare_folder(tiny_zip, tmp_path).replace("folder", "tiny-imagenet-20")
    refusal = yield command
    return command.replace("tiny-imagenet-20", refusal.find(r"use ([\w-]+), which takes them all"))


@case(f"{TINY}::_read_annotations", "but it is missing")
def annotations_that_are_gone(tmp_path: Path, tiny_zip: Path) -> Steps:
    (extract(tiny_zip, tmp_path) / "val" / "val_annotations.txt").unlink()
    refusal = yield prepare_tiny(tmp_path)
    assert "extract the archive again" in refusal.text
    extract(tiny_zip, tmp_path)


@case(f"{TINY}::_read_annotations", "but it is missing")
def a_validation_split_sorted_into_classes(tmp_path: Path, tiny_zip: Path) -> Steps:
    """Many scripts sort val/ so; test/images, without labels, then lies beside it."""
    top = extract(tiny_zip, tmp_path)
    shutil.rmtree(top / "val")
    for label, name in enumerate(TINY_CLASSES):
        (top / "val" / name / "images").mkdir(parents=True)
        for number in range(3):
            path = top / "val" / name / "images" / f"val_{label}_{number}.JPEG"
            path.write_bytes(tiny_image(label, 1000 + number))
    (top / "test" / "images").mkdir(parents=True)
    (top / "test" / "images" / "test_0.JPEG").write_bytes(tiny_image(0, 5000))
    command = prepare_tiny(tmp_path)
    refusal = yield command
    return command.replace("tiny-imagenet", refusal.find(r"use the dataset `(\w+)`"))


ANNOTATIONS = (f"{TINY}::_read_annotations", "DatasetError(shorten_faults(faults))")


@case(f"{TINY}::_read_annotations", "«file, tab, class»", *ANNOTATIONS)
def annotations_in_another_format(tmp_path: Path, tiny_zip: Path) -> Steps:
    annotations = extract(tiny_zip, tmp_path) / "val" / "val_annotations.txt"
    annotations.write_text("val_0_0.JPEG n00000001\n" * 8, encoding="utf-8")
    refusal = yield prepare_tiny(tmp_path)
    assert "There are 3 more faults of these kinds." in refusal.text
    extract(tiny_zip, tmp_path)


@case(f"{TINY}::_read_annotations", "must name each image once", *ANNOTATIONS)
def an_image_with_two_labels(tmp_path: Path, tiny_zip: Path) -> Steps:
    annotations = extract(tiny_zip, tmp_path) / "val" / "val_annotations.txt"
    lines = annotations.read_text(encoding="utf-8").splitlines()
    annotations.write_text("\n".join([*lines, lines[0]]), encoding="utf-8")
    refusal = yield prepare_tiny(tmp_path)
    number = int(refusal.find(r"lines 1 and (\d+) both name \S+; remove one"))
    lines = annotations.read_text(encoding="utf-8").splitlines()
    annotations.write_text("\n".join(lines[: number - 1] + lines[number:]), encoding="utf-8")


@case(f"{TINY}::_check_complete", "must hold every image")
def validation_images_that_are_gone(tmp_path: Path, tiny_zip: Path) -> Steps:
    shutil.rmtree(extract(tiny_zip, tmp_path) / "val" / "images")
    refusal = yield prepare_tiny(tmp_path)
    assert "extract the archive again" in refusal.text
    extract(tiny_zip, tmp_path)
