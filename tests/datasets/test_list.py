"""What is prepared, as `datasets.list` shows it to people and to programs."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from common.files import is_locked, lock_folder
from datasets.list import SCHEMA_VERSION, State, describe_size, list_data, main
from datasets.manifest import OUTPUTS, read_manifest
from datasets.prepare import prepare
from tests.remedies.images import write_images

ROOT = Path(__file__).parents[2]
KEYS = [
    "name", "state", "problem", "folder", "bytes", "frozen_output_bytes", "source", "classes",
    "images", "image_size", "prepared_at", "fingerprint",
]  # fmt: skip


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """A data folder with one dataset that a test may damage, and one of own images."""
    shutil.copytree(tiny_data, tmp_path / "data" / "tiny-imagenet")
    prepare(
        "folder:pets", source=write_images(tmp_path / "pets"), data=tmp_path / "data", workers=1
    )
    return tmp_path / "data"


def listed(data: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `--json` prints."""
    capsys.readouterr()
    assert main(["--data", str(data), "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return dict(json.loads(printed.out))


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_json_is_as_documented(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.time()
    found = listed(data, capsys)
    assert list(found) == ["schema_version", "data", "datasets", "others"]
    assert (found["schema_version"], found["data"], found["others"]) == (1, str(data), [])
    assert SCHEMA_VERSION == 1
    pets, tiny = found["datasets"]
    assert list(pets) == list(tiny) == KEYS
    assert pets | {"prepared_at": None} == {
        "name": "folder:pets",
        "state": "ready",
        "problem": None,
        "folder": str(data / "folder-pets"),
        "bytes": bytes_in(data / "folder-pets"),
        "frozen_output_bytes": 0,
        "source": str(data.parent / "pets"),
        "classes": 2,
        "images": {"train": 6, "val": 2, "test": 8},
        "image_size": 64,
        "prepared_at": None,
        "fingerprint": read_manifest(data / "folder-pets").fingerprint,
    }
    assert (tiny["name"], tiny["classes"]) == ("tiny-imagenet", 4)
    assert tiny["images"] == {"train": 72, "val": 8, "test": 24}
    moment = time.strptime(pets["prepared_at"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs(time.mktime(moment) - time.timezone - began) < 60


def test_the_guide_names_every_key(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guide = (ROOT / "docs" / "guides" / "your-own.md").read_text(encoding="utf-8")
    found = listed(data, capsys)
    for key in (*found, *KEYS, *map(str, State)):
        assert f"`{key}`" in guide, key


def test_people_read_the_same(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pets, _ = listed(data, capsys)["datasets"]
    assert main(["--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "folder:pets  ready",
        "  2 classes, 6 train + 2 val + 8 test images of 64 px",
    ]
    assert lines[2].startswith(f"  {describe_size(pets['bytes'])} in {data / 'folder-pets'}; prep")
    assert lines[3:5] == [
        f"  from {data.parent / 'pets'}",
        f"  fingerprint {pets['fingerprint'][:16]}",
    ]
    total = sum(bytes_in(folder) for folder in data.iterdir())
    assert lines[-1] == f"2 datasets, {describe_size(total)}, in {data}"


def test_kept_outputs_of_frozen_stages_count_and_are_named_apart(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listed(data, capsys)["datasets"][1]["bytes"]
    kept = data / "tiny-imagenet" / OUTPUTS / "0123" / "view-0.npy"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"0" * 3_000_000)
    tiny = listed(data, capsys)["datasets"][1]
    assert (tiny["bytes"], tiny["frozen_output_bytes"]) == (before + 3_000_000, 3_000_000)
    assert main(["--data", str(data)]) == 0
    assert ", of which 3.0 MB kept outputs of frozen stages in " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "state", "said"),
    [
        (lambda d: (d / "manifest.json").unlink(), "unfinished", "holds no prepared data"),
        (lambda d: (d / "test.beton").unlink(), "damaged", "but is missing; make it anew with"),
        (lambda d: os.truncate(d / "train.beton", 9), "damaged", "but has 9; make it anew with"),
        (
            lambda d: (d / "manifest.json").write_text("{", encoding="utf-8"),
            "damaged",
            "is damaged (",
        ),
        (
            lambda d: (d / "manifest.json").write_text('{"schema_version": 7}', encoding="utf-8"),
            "other_version",
            "but has 7; make the data anew with",
        ),
    ],
)
def test_what_can_t_be_used_is_listed_with_the_remedy(  # type: ignore[no-untyped-def]
    damage, state: str, said: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(data / "tiny-imagenet")
    pets, tiny = listed(data, capsys)["datasets"]
    assert pets["state"] == "ready"
    assert (tiny["name"], tiny["state"]) == ("tiny-imagenet", state)
    assert said in tiny["problem"]
    assert "`python -m datasets.prepare tiny-imagenet " in tiny["problem"]
    assert tiny["bytes"] == bytes_in(data / "tiny-imagenet")
    assert tiny["fingerprint"] is tiny["images"] is tiny["prepared_at"] is None
    assert main(["--data", str(data)]) == 0
    out = capsys.readouterr().out
    assert f"tiny-imagenet  {state.replace('_', ' ')}\n  {tiny['problem']}\n" in out


def test_what_is_being_prepared_is_known_by_its_lock(data: Path) -> None:
    folder = data / "demo"
    with lock_folder(folder):
        assert is_locked(folder)
        (demo, *_) = list_data(data).entries
        assert (demo.name, demo.state) == ("demo", State.PREPARING)
    assert not is_locked(folder)
    (demo, *_) = list_data(data).entries
    assert demo.state is State.UNFINISHED


def test_a_dataset_that_is_replaced_is_ready_meanwhile(data: Path) -> None:
    with lock_folder(data / "folder-pets"):
        assert list_data(data).entries[0].state is State.READY


def test_data_that_no_command_finds_are_named(data: Path) -> None:
    """Such as a node's copy, and images of one's own that were moved by hand."""
    (data / "tiny-imagenet").rename(data / "tiny-imagenet-0123456789abcdef")
    (data / "folder-pets").rename(data / "Pets")
    pets, tiny = list_data(data).entries
    assert (pets.name, pets.state) == ("Pets", State.MISNAMED)
    assert pets.problem
    assert "must lie in a folder folder-pets to be found" in pets.problem
    assert "rename it, or leave it where it is a cluster node's own copy" in str(tiny.problem)
    (data / "Pets").rename(data / "folder-cats")  # of another name, but still of one's own
    assert list_data(data).entries[0].name == "folder:cats"
    assert list_data(data).entries[0].state is State.READY


def test_what_is_no_dataset_is_named_too(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "downloads").mkdir()
    (data / "downloads" / "a.zip").write_bytes(b"0" * 2_500_000)
    (data / "site").mkdir()
    (data / "site" / "manifest.json").write_text("{}", encoding="utf-8")
    (data / "notes\n.txt").write_text("hello", encoding="utf-8")
    (data / "gone").symlink_to(data / "nowhere")
    found = listed(data, capsys)
    assert [entry["name"] for entry in found["datasets"]] == ["folder:pets", "tiny-imagenet"]
    assert [other["name"] for other in found["others"]] == [
        "downloads", "gone", "notes\n.txt", "site"
    ]  # fmt: skip
    assert found["others"][0]["bytes"] == 2_500_000
    assert main(["--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "no dataset: downloads (2.5 MB, archives that datasets.prepare has fetched)" in lines
    assert "no dataset: notes\\n.txt (0.0 kB)" in lines


def test_a_manifest_of_an_older_version_has_the_time_of_its_file(data: Path) -> None:
    path = data / "folder-pets" / "manifest.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    del value["prepared_at"], value["sha256"]
    path.write_text(json.dumps(value), encoding="utf-8")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    (pets, _) = list_data(data).entries
    assert pets.to_json()["prepared_at"] == "2023-11-14T22:13:20Z"


def test_a_moment_that_is_none_is_damage(data: Path) -> None:
    path = data / "folder-pets" / "manifest.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    del value["sha256"]
    path.write_text(json.dumps(value | {"prepared_at": "soon"}), encoding="utf-8")
    assert list_data(data).entries[0].state is State.DAMAGED


@pytest.mark.parametrize("made", ["nothing", "a file", "a dataset"])
def test_a_folder_that_can_t_be_listed_is_one_sentence(
    made: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"nothing": data / "x", "a file": data / "f", "a dataset": data / "folder-pets"}[made]
    (data / "f").touch()
    for more in ([], ["--json"]):
        assert main(["--data", str(named), *more]) == 2
        printed = capsys.readouterr()
        (line,) = printed.err.splitlines()
        assert printed.out == ""
        assert line.startswith("error: --data must name ")


def test_an_empty_folder_says_how_to_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"no dataset in {tmp_path}",
        f"make one with `python -m datasets.prepare demo --data {tmp_path}`",
    ]
    assert listed(tmp_path, capsys)["datasets"] == []


def test_a_reader_that_leaves_early_ends_nothing(data: Path) -> None:
    """As `| head -1` does; and a pipe gets neither colours nor shortened lines."""
    command = f"'{sys.executable}' -m datasets.list --data '{data}'"
    code = f"set -o pipefail; {command} | head -1; {command} | cat"
    done = subprocess.run(
        ["bash", "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == lines[1] == "folder:pets  ready"
    assert f"  from {data.parent / 'pets'}" in lines
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.0 kB"),
        (999, "1.0 kB"),
        (64_200, "64 kB"),
        (9_940_000, "9.9 MB"),
        (37_400_000, "37 MB"),
        (1_540_000_000, "1.5 GB"),
        (14_000_000_000, "14 GB"),
    ],
)
def test_sizes_have_two_digits_or_more(size: int, text: str) -> None:
    assert describe_size(size) == text
