"""Errors about names, options, and data that are prepared already."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from common.files import lock_folder
from common.remote import UriPlace
from datasets import list as list_datasets
from datasets.access import TRAIN_FILE
from datasets.manifest import read_manifest, verify
from datasets.node_copy import check, copy_data
from datasets.sources import opening
from datasets.spec import DatasetError
from tests.datasets.archives.test_zip_names import make_zip
from tests.remedies.harness import Command, Steps, case
from tests.remedies.images import image, prepare_folder, write_images

PREPARE, OPENING = "datasets/prepare.py", "datasets/sources/opening.py"
CHECK_OPTIONS = "datasets/spec.py::check_options"


@case("datasets/registry.py::find_dataset", "is no dataset")
def misspelt_dataset(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path).replace("folder", "foldr")
    refusal = yield command
    return command.replace("foldr", refusal.find(r"did you mean (\w+)\?"))


@case("datasets/registry.py::find_dataset", "is no dataset")
def a_path_as_the_dataset(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "my images")
    command = Command("datasets.prepare", source, "--data", tmp_path / "data")
    refusal = yield command
    name = refusal.find(r"the dataset `(\w+)`")
    return command.replace(source, name).add(*refusal.options("--source"))


@case("datasets/registry.py::_find_named", "The NAME in {}:NAME must have")
def a_name_that_some_disks_lack(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    named = command.replace("folder", "folder:My Flowers/2024")
    refusal = yield named
    assert "and begin with a letter or digit" in refusal.text
    return command.replace("folder", refusal.find(r"use `(\S+)`"))


@case("datasets/registry.py::_find_named", "have further names after a colon")
def a_name_behind_another_dataset(tmp_path: Path, small_demo: None) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path).replace("folder", "demo:x")
    refusal = yield command
    Command("datasets.prepare", refusal.find(r"use `(\w+)`"), "--data", tmp_path / "drawn")()
    return command.replace("demo:x", refusal.find(r"or `(\S+)` for images of yours"))


@case(CHECK_OPTIONS, "workers must lie", CHECK_OPTIONS, "DatasetError(faults)")
def no_workers(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path).replace(1, 0)
    refusal = yield command
    return command.replace(0, refusal.find(r"must lie in (\d+)…1024"))


@case(CHECK_OPTIONS, "size must lie")
def too_small_images(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path, "--size", 8)
    refusal = yield command
    return command.replace(8, refusal.find(r"must lie in (\d+)…"))


@case(CHECK_OPTIONS, "val must lie in")
def more_val_than_train(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path, "--val", 0.9)
    refusal = yield command
    return command.replace(0.9, refusal.find(r"must lie in [\d.]+…([\d.]+) "))


@case(f"{PREPARE}::_check_existing", "of train are val, not")
def another_share_of_val(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    command()
    refusal = yield command.add("--val", 0.5)
    assert "--val 0.5" in refusal.text
    return refusal.command().add("--workers", 1)


@case("datasets/sources/image_sizes.py::check_sizes", "--size must be given where")
def photographs_without_a_size(tmp_path: Path) -> Steps:
    refusal = yield prepare_folder(write_images(tmp_path / "src", side=96), tmp_path)
    return refusal.command().add("--workers", 1)


def cafes(tmp_path: Path) -> Path:
    """Writes an archive whose names are in code page 437, without saying so; returns its path."""
    return make_zip(tmp_path / "images.zip", {"café": "café".encode("cp437"), "dog": b"dog"})


@case(CHECK_OPTIONS, "--zip-encoding must be an encoding that Python knows")
def an_unknown_encoding(tmp_path: Path) -> Steps:
    source = cafes(tmp_path)
    command = prepare_folder(source, tmp_path, "--zip-encoding", "cp9320")
    refusal = yield command
    return command.replace("cp9320", refusal.find(r"or (cp\d+),"))


@case("datasets/archives/tree.py::open_tree", "--zip-encoding is for zip archives")
def an_encoding_for_a_folder(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    command = prepare_folder(source, tmp_path, "--zip-encoding", "cp437")
    refusal = yield command
    assert "leave it out" in refusal.text
    return command.without("--zip-encoding")


@case("datasets/archives/zip_names.py::read_name", "--zip-encoding must be that of all")
def an_encoding_that_misfits(tmp_path: Path) -> Steps:
    source = cafes(tmp_path)
    command = prepare_folder(source, tmp_path, "--zip-encoding", "ascii")
    refusal = yield command
    prepare_folder(source, tmp_path, "--data", tmp_path / "guessed")()  # «leave the option out»
    assert "name another encoding" in refusal.text
    return command.replace("ascii", "cp437")


@case(f"{PREPARE}::_check_existing", "The names of the images in {} were read as")
def another_encoding_than_before(tmp_path: Path) -> Steps:
    source = cafes(tmp_path)
    prepare_folder(source, tmp_path, "--zip-encoding", "cp437")()
    refusal = yield prepare_folder(source, tmp_path, "--zip-encoding", "cp1252")
    return refusal.command()


@case(f"{OPENING}::list_source", "Every class folder must hold images")
def an_empty_class(tmp_path: Path) -> Steps:
    source = write_images(tmp_path / "src")
    (source / "train" / "bird").mkdir()
    refusal = yield prepare_folder(source, tmp_path)
    return refusal.command()


@case(f"{OPENING}::list_source", "can't be read or written")
def a_path_that_is_too_long(tmp_path: Path) -> Steps:
    command = prepare_folder(tmp_path / ("x" * 300), tmp_path)
    refusal = yield command
    assert "check its path" in refusal.text
    return prepare_folder(write_images(tmp_path / "src"), tmp_path)


@case(f"{PREPARE}::_check_existing", "px, not")
def another_size(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    command()
    refusal = yield command.add("--size", 32)
    return refusal.command()


@case(f"{PREPARE}::_check_existing", "The images in {} were made")
def another_source(tmp_path: Path) -> Steps:
    prepare_folder(write_images(tmp_path / "first"), tmp_path)()
    refusal = yield prepare_folder(write_images(tmp_path / "second", each=5), tmp_path)
    assert f"({tmp_path / 'first'}), not from {tmp_path / 'second'};" in refusal.text
    return refusal.command()


@case(f"{PREPARE}::_check_existing", "The images in {} were made")
def a_source_that_has_changed(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    command()
    (tmp_path / "src" / "train" / "cat" / "new.jpg").write_bytes(image(99))
    refusal = yield command
    assert f"were made from {tmp_path / 'src'} before its files changed;" in refusal.text
    assert "another source" not in refusal.text
    assert "replace them with" in refusal.text  # as `another_source` does
    return command.replace("folder", refusal.find(r"call the others `(\S+)`"))


@case(f"{OPENING}::check_source", "needs images of yours")
def no_source(tmp_path: Path) -> Steps:
    command = Command("datasets.prepare", "folder", "--data", tmp_path / "data")
    refusal = yield command
    assert refusal.options("--source") == ("--source", "ZIP")
    assert not (tmp_path / "data").exists()  # nothing is left of a name that is mistyped
    return command.add("--source", write_images(tmp_path / "src"))


@case(f"{PREPARE}::main", "nothing half-made was kept")
def an_interrupted_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(opening, "count_leftovers", interrupt)
        command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
        yield command
    assert sorted(path.name for path in (tmp_path / "data" / "folder").iterdir()) == [".lock"]
    return command


def prepared(tmp_path: Path, *more: object) -> Path:
    """Prepares images of 24 px and returns the folder of the data."""
    prepare_folder(write_images(tmp_path / "src"), tmp_path, "--size", 24, *more)()
    return tmp_path / "data" / "folder"


def change(folder: Path, **values: Any) -> None:
    """Changes values in the manifest, and leaves its checksum."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps(content), encoding="utf-8")


@case("datasets/manifest.py::parse_manifest", "must have schema_version")
def a_manifest_of_another_version(tmp_path: Path) -> Steps:
    folder = prepared(tmp_path)
    change(folder, schema_version=99)
    refusal = yield lambda: read_manifest(folder)
    refusal.command().add("--source", tmp_path / "src", "--workers", 1)()


@case("datasets/manifest.py::parse_manifest", "is damaged")
def a_manifest_that_was_edited(tmp_path: Path) -> Steps:
    folder = prepared(tmp_path)
    change(folder, image_size=48)
    refusal = yield lambda: read_manifest(folder)
    refusal.command().add("--source", tmp_path / "src", "--workers", 1)()


@case("datasets/manifest.py::parse_manifest", "holds no prepared data")
def no_manifest(tmp_path: Path) -> Steps:
    folder = prepared(tmp_path)
    (folder / "manifest.json").unlink()
    refusal = yield lambda: read_manifest(folder)
    refusal.command().add("--source", tmp_path / "src", "--workers", 1)()


@case("datasets/manifest.py::_check_size", "must have {} bytes")
def a_file_that_is_cut_short(tmp_path: Path) -> Steps:
    folder = prepared(tmp_path)
    before = read_manifest(folder)
    os.truncate(folder / TRAIN_FILE, 100)
    refusal = yield lambda: read_manifest(folder)
    refusal.command().add("--workers", 1)()
    assert read_manifest(folder) == before


@case("datasets/manifest.py::verify", "must have sha256")
def a_file_with_a_wrong_byte(tmp_path: Path) -> Steps:
    folder = prepared(tmp_path)
    before = read_manifest(folder)
    with (folder / TRAIN_FILE).open("r+b") as file:
        file.write(b"\0\1\2\3")
    command = Command("datasets.prepare", "folder", "--data", folder.parent, "--verify")
    refusal = yield command
    refusal.command().add("--workers", 1)()
    assert verify(folder) == before


@case("common/files.py::lock_folder", "can't be written")
def a_file_in_the_place_of_the_data(tmp_path: Path) -> Steps:
    (tmp_path / "data").write_text("", encoding="utf-8")
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    refusal = yield command
    assert "use another --data folder" in refusal.text
    return command.replace(tmp_path / "data", tmp_path / "another")


def shared_copy(tmp_path: Path, tiny_data: Path) -> tuple[Path, str]:
    """Returns prepared data at a shared path, as a cluster reads it, and its fingerprint."""
    shutil.copytree(tiny_data, tmp_path / "shared")
    return tmp_path / "shared", read_manifest(tmp_path / "shared").fingerprint


@case("datasets/node_copy.py::_manifest", "must hold the prepared data")
def an_empty_shared_folder(tmp_path: Path, tiny_data: Path) -> Steps:
    shared, fingerprint = shared_copy(tmp_path, tiny_data)
    shutil.rmtree(shared)
    refusal = yield lambda: check(UriPlace(str(shared)), fingerprint, tmp_path / "here")
    assert "copy the folder that datasets.prepare made" in refusal.text
    shutil.copytree(tiny_data, shared)


@case("datasets/node_copy.py::_manifest", "that can be read")
def a_damaged_shared_manifest(tmp_path: Path, tiny_data: Path) -> Steps:
    shared, fingerprint = shared_copy(tmp_path, tiny_data)
    (shared / "manifest.json").write_text("{", encoding="utf-8")
    refusal = yield lambda: check(UriPlace(str(shared)), fingerprint, tmp_path / "here")
    assert ".fetched" not in refusal.text
    shutil.copytree(tiny_data, shared, dirs_exist_ok=True)


@case("datasets/node_copy.py::_manifest", "the images that are searched on")
def other_shared_images(tmp_path: Path, tiny_data: Path) -> Steps:
    shared, fingerprint = shared_copy(tmp_path, tiny_data)
    shutil.copytree(prepared(tmp_path), shared, dirs_exist_ok=True)
    refusal = yield lambda: check(UriPlace(str(shared)), fingerprint, tmp_path / "here")
    assert "copy the folder that datasets.prepare made there anew" in refusal.text
    shutil.copytree(tiny_data, shared, dirs_exist_ok=True)


@case("datasets/node_copy.py::_fetch_train", "but lacks it")
def a_shared_folder_without_images(tmp_path: Path, tiny_data: Path) -> Steps:
    shared, fingerprint = shared_copy(tmp_path, tiny_data)
    (shared / TRAIN_FILE).unlink()
    refusal = yield lambda: copy_data(UriPlace(str(shared)), fingerprint, tmp_path / "here")
    shutil.copy(tiny_data / refusal.find(r"must hold (\S+),"), shared)


@case("datasets/node_copy.py::_fetch_train", "must have sha256")
def damaged_shared_images(tmp_path: Path, tiny_data: Path) -> Steps:
    shared, fingerprint = shared_copy(tmp_path, tiny_data)
    with (shared / TRAIN_FILE).open("r+b") as file:
        file.write(b"\0\1\2\3")
    refusal = yield lambda: copy_data(UriPlace(str(shared)), fingerprint, tmp_path / "here")
    shutil.copy(tiny_data / refusal.find(r"^(\S+) from"), shared)


LIST = "datasets/list.py"


@case(f"{LIST}::main", "must name a folder of prepared datasets")
def a_list_of_nothing(tmp_path: Path, small_demo: None) -> Steps:
    refusal = yield Command("datasets.list", "--data", tmp_path / "data")
    refusal.command()()


@case(f"{LIST}::main", "is a dataset itself")
def a_list_of_a_dataset_s_files(tmp_path: Path) -> Steps:
    prepare_folder(write_images(tmp_path / "src"), tmp_path)()
    refusal = yield Command("datasets.list", "--data", tmp_path / "data" / "folder")
    return refusal.command()


@case(f"{LIST}::main", "can't be listed")
def a_list_of_a_folder_without_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    prepare_folder(write_images(tmp_path / "src"), tmp_path)()
    with monkeypatch.context() as patch:
        patch.setattr(list_datasets, "_examine", refuse)
        refusal = yield Command("datasets.list", "--data", tmp_path / "data")
    assert f"{tmp_path / 'data'} can't be listed (Permission denied); check" in refusal.text


def all_ready(data: Path) -> None:
    """Raises the first problem in the list of a folder's datasets."""
    for entry in list_datasets.list_data(data).entries:
        if entry.problem:
            raise DatasetError(entry.problem)


@case(f"{LIST}::_misnamed", "must lie in a folder")
def a_dataset_that_was_renamed(tmp_path: Path) -> Steps:
    prepare_folder(write_images(tmp_path / "src"), tmp_path).replace("folder", "folder:x")()
    (tmp_path / "data" / "folder-x").rename(tmp_path / "data" / "X")
    refusal = yield lambda: all_ready(tmp_path / "data")
    found = Path(refusal.find(r"these lie in (\S+);"))
    found.rename(found.with_name(refusal.find(r"must lie in a folder (\S+) to be")))


@case(f"{LIST}::_examine", "Another process is at work")
def a_dataset_in_the_making(tmp_path: Path) -> Steps:
    command = prepare_folder(write_images(tmp_path / "src"), tmp_path)
    with lock_folder(tmp_path / "data" / "folder"):
        yield lambda: all_ready(tmp_path / "data")
    command()  # «wait for it»
