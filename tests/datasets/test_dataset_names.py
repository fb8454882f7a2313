"""Several datasets of one's own: what they may be called, and where each of them is prepared."""

from pathlib import Path

import pytest

from datasets.manifest import read_manifest, remake_command
from datasets.prepare import inspect, main, prepare
from datasets.registry import DATASETS, find_dataset
from datasets.spec import (
    LONGEST,
    DatasetError,
    dataset_name,
    find_free_dataset,
    folder_name,
    is_usable_name,
    make_usable_name,
    prepared_folder,
)
from tests.remedies.images import write_images


def test_every_dataset_has_a_folder_of_its_own_and_a_folder_tells_its_dataset() -> None:
    names = [*DATASETS, "folder:a", "folder:flowers", "folder:2024_b-1", f"folder:{'x' * LONGEST}"]
    folders = [folder_name(name) for name in names]
    assert folders[len(DATASETS) :][:2] == ["folder-a", "folder-flowers"]
    assert folders[: len(DATASETS)] == list(DATASETS)
    assert len({folder.lower() for folder in folders}) == len(names)
    assert [dataset_name(folder) for folder in folders] == names
    assert prepared_folder(Path("data"), "folder:flowers") == Path("data/folder-flowers")


@pytest.mark.parametrize("folder", ["folder-", "folder-A", "folder-a b", "x", "demo-ab12"])
def test_a_folder_of_another_name_stands_for_itself(folder: str) -> None:
    assert dataset_name(folder) == folder


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("Flowers", "flowers"),
        ("my flowers", "my-flowers"),
        ("../up", "up"),
        ("a/b", "a-b"),
        ("a\\b", "a-b"),
        ("-x", "x"),
        ("_x", "x"),
        ("a:b", "a-b"),
        ("größe", "groe"),
        ("Café", "cafe"),
        ("x" * 41, "x" * 40),
        ("", "images"),
        ("花", "images"),
        ("a\n", "a"),
    ],
)
def test_a_name_that_is_no_folder_everywhere_is_refused_with_one_that_is(
    name: str, usable: str, tmp_path: Path
) -> None:
    assert not is_usable_name(name)
    with pytest.raises(DatasetError) as refusal:
        prepare(f"folder:{name}", source=tmp_path, data=tmp_path / "data")
    (sentence,) = refusal.value.errors
    assert sentence.endswith(f"; use `folder:{usable}`.")
    assert find_dataset(f"folder:{usable}").name == f"folder:{usable}"
    assert not (tmp_path / "data").exists()


def test_only_own_images_have_further_names() -> None:
    with pytest.raises(DatasetError, match=r"use `demo`, or `folder:mine` for images of yours"):
        find_dataset("demo:mine")
    with pytest.raises(DatasetError, match=r"is no dataset; did you mean folder\?"):
        find_dataset("foldr:x")


def test_the_longest_name_is_made_usable_once_more() -> None:
    assert make_usable_name("a" * 39 + "-" + "b") == "a" * 39
    assert is_usable_name(make_usable_name("a" * 39 + " b"))


def test_a_second_dataset_leaves_the_first_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, sources = tmp_path / "data", (tmp_path / "birds", tmp_path / "flowers")
    first = prepare("folder", source=write_images(sources[0]), data=data, workers=1)
    write_images(sources[1], each=5)
    with pytest.raises(DatasetError) as refusal:
        prepare("folder", source=sources[1], data=data)
    assert "call the others `folder:flowers`, or replace them with" in str(refusal.value)
    words = ["folder:flowers", "--source", str(sources[1]), "--data", str(data), "--workers", "1"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("folder:flowers: 2 classes, 8 train + 2 val + 10 test")
    assert f"in {data / 'folder-flowers'} (" in printed
    second = read_manifest(data / "folder-flowers")
    assert second.dataset == "folder:flowers"
    assert second.fingerprint != first.fingerprint
    assert read_manifest(data / "folder") == first
    assert inspect("folder:flowers", data=data) == second.train_images == 8
    assert prepare("folder:flowers", data=data) == second  # without a source, as it is there


def test_the_name_that_is_offered_is_free(tmp_path: Path) -> None:
    source = tmp_path / "My Flowers.zip"
    assert find_free_dataset(source, tmp_path) == "folder:my-flowers"
    (tmp_path / "folder-my-flowers").mkdir()
    (tmp_path / "folder-my-flowers-2").mkdir()
    assert find_free_dataset(source, tmp_path) == "folder:my-flowers-3"
    long = tmp_path / ("x" * 60)
    (tmp_path / f"folder-{'x' * LONGEST}").mkdir()
    assert is_usable_name(find_free_dataset(long, tmp_path).removeprefix("folder:"))


def test_commands_that_make_data_again_name_the_dataset() -> None:
    command = remake_command(Path("data/folder-flowers"), overwrite=True)
    assert command.startswith("`python -m datasets.prepare folder:flowers --overwrite`")
