"""Preparing: done once, never half, never over something good; errors are sentences."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.files import lock_folder
from datasets.access import open_final_data, open_search_data
from datasets.beton import convert
from datasets.manifest import read_manifest, verify
from datasets.prepare import main, prepare
from datasets.spec import DatasetError

ROOT = Path(__file__).parents[2]
NAME = "tiny-imagenet"


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    """A prepared data folder that a test may damage."""
    shutil.copytree(tiny_data, tmp_path / "data" / NAME)
    return tmp_path / "data"


def state(directory: Path) -> dict[str, tuple[int, int]]:
    files = (path for path in directory.iterdir() if path.is_file())
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_second_time_does_nothing(data: Path, tiny_zip: Path) -> None:
    before = state(data / NAME)
    manifest = prepare(NAME, source=tiny_zip, data=data)
    assert prepare(NAME, data=data) == prepare(NAME, data=data, size=64) == manifest
    assert state(data / NAME) == before


def test_other_source_or_size_is_refused_unless_told(
    data: Path, tiny_zip: Path, tiny_folder: Path
) -> None:
    before = state(data / NAME)
    with pytest.raises(DatasetError, match=r"made from another source .*--data.*--overwrite"):
        prepare(NAME, source=tiny_folder, data=data)
    with pytest.raises(DatasetError, match=r"have 64 px, not 32; .*--overwrite"):
        prepare(NAME, source=tiny_zip, data=data, size=32)
    assert state(data / NAME) == before
    replaced = prepare(NAME, source=tiny_folder, data=data, size=32, workers=1, overwrite=True)
    assert read_manifest(data / NAME) == replaced
    assert replaced.image_size == 32
    assert verify(data / NAME) == replaced


def test_another_share_of_train_becomes_val_if_asked(data: Path, tiny_zip: Path) -> None:
    """A quarter of 20 images of each of 4 classes, with the same test images."""
    before = read_manifest(data / NAME)
    with pytest.raises(
        DatasetError, match=r"0\.1 of train are val, not 0\.25; .*--val 0\.25 .*--overwrite"
    ):
        prepare(NAME, source=tiny_zip, data=data, val=0.25)
    made = prepare(NAME, source=tiny_zip, data=data, val=0.25, workers=1, overwrite=True)
    assert (made.train_images, made.val_images, made.test_images) == (60, 20, 24)
    assert (made.val_fraction, made.chosen_val, before.chosen_val) == (0.25, 0.25, None)
    assert len(made.train_sample) == 20
    assert not set(made.train_sample) & set(made.val)
    assert (made.fingerprint != before.fingerprint, made.files) == (True, before.files)
    assert prepare(NAME, data=data) == prepare(NAME, data=data, val=0.25) == made
    with pytest.raises(DatasetError, match=r"0\.25 of train are val, not 0\.1;"):
        prepare(NAME, data=data, val=0.1)
    (data / NAME / "train.beton").unlink()
    with pytest.raises(DatasetError, match=r"--val 0\.25 .*--overwrite"):  # the same images again
        read_manifest(data / NAME)


def test_failed_overwrite_keeps_the_old_data(data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    before = state(data / NAME)
    source = Path(shutil.copytree(tiny_folder, tmp_path / "source"))
    next((source / "val" / "images").iterdir()).write_bytes(b"")
    with pytest.raises(DatasetError, match="1 image is broken"):
        prepare(NAME, source=source, data=data, workers=1, overwrite=True)
    assert state(data / NAME) == before
    assert verify(data / NAME).test_images == 24


def test_overwriting_on_a_disk_that_is_full_at_the_end_keeps_the_old_data(
    data: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is the last that is written."""

    def full(*given: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = state(data / NAME)
    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(DatasetError, match="is full and nothing half-made was kept"):
        prepare(NAME, source=tiny_folder, data=data, size=32, workers=1, overwrite=True)
    assert state(data / NAME) == before
    assert verify(data / NAME).image_size == 64


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "manifest.json").unlink(), "holds no prepared data"),
        (
            lambda d: (d / "manifest.json").write_text('{"schema_version": 1', encoding="utf-8"),
            "is damaged",
        ),
        (lambda d: (d / "manifest.json").write_text("[]", encoding="utf-8"), "is damaged"),
        (
            lambda d: (d / "manifest.json").write_text('{"schema_version": 1}', encoding="utf-8"),
            "is damaged",
        ),
        (
            lambda d: (d / "manifest.json").write_text('{"schema_version": 9}', encoding="utf-8"),
            "but has 9",
        ),
        (lambda d: (d / "test.beton").unlink(), "is missing"),
        (lambda d: os.truncate(d / "train.beton", 99), "bytes, but has 99"),
    ],
)
def test_damage_is_named_with_the_command_that_repairs(data, damage, message) -> None:  # type: ignore[no-untyped-def]
    damage(data / NAME)
    command = rf"python -m datasets\.prepare {NAME} .*--data {data}"
    for opened in (read_manifest, verify, open_search_data, open_final_data):
        with pytest.raises(DatasetError, match=f"{message}.*{command}"):
            opened(data / NAME)


def test_verify_notices_one_flipped_bit(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data / NAME / "train.beton"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    assert main([NAME, "--data", str(data)]) == 0
    assert main([NAME, "--data", str(data), "--verify"]) == 2
    assert "train.beton must have sha256" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from pathlib import Path
from datasets.beton import convert
from datasets.prepare import prepare
convert._publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
prepare("tiny-imagenet", source=Path(sys.argv[1]), data=Path(sys.argv[2]), workers=1)
"""


def test_killed_conversion_is_cleaned_up_and_done_anew(tiny_zip: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tiny_zip), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, timeout=120, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert {".train.beton.partial", ".test.beton.partial"} <= set(state(tmp_path / NAME))
    with pytest.raises(DatasetError, match="holds no prepared data"):
        open_search_data(tmp_path / NAME)
    manifest = prepare(NAME, source=tiny_zip, data=tmp_path, workers=1)
    assert verify(tmp_path / NAME) == manifest
    assert sorted(state(tmp_path / NAME)) == [".lock", "manifest.json", "test.beton", "train.beton"]


def test_interrupted_conversion_leaves_nothing(
    tiny_zip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(convert, "_publish", interrupt)
    arguments = [NAME, "--source", str(tiny_zip), "--data", str(tmp_path), "--workers", "2"]
    assert main(arguments) == 130
    assert "nothing half-made was kept" in capsys.readouterr().err
    assert list(state(tmp_path / NAME)) == [".lock"]


def test_racing_conversion_waits_says_so_and_finds_the_work_done(
    tiny_data: Path, tiny_zip: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "datasets.prepare", NAME]
    command += ["--source", str(tiny_zip), "--data", str(tmp_path)]
    with lock_folder(tmp_path / NAME):
        second = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )
        assert second.stderr is not None
        assert "waiting for it" in second.stderr.readline()
        shutil.copytree(tiny_data, tmp_path / NAME, dirs_exist_ok=True)
        before = state(tmp_path / NAME)
    out, err = second.communicate(timeout=60)
    assert (second.returncode, err) == (0, "")
    assert "72 train + 8 val + 24 test images" in out
    assert state(tmp_path / NAME)["train.beton"] == before["train.beton"]


CHEAP = """
import sys
from datasets.prepare import main
assert main(sys.argv[1:]) == 0
heavy = {"torch", "ffcv", "numba", "pandas", "ray"} & set(sys.modules)
assert not heavy, heavy
"""


def test_finding_the_work_done_imports_nothing_heavy(data: Path, tiny_zip: Path) -> None:
    arguments = [NAME, "--data", str(data), "--source", str(tiny_zip), "--verify"]
    done = subprocess.run(
        [sys.executable, "-c", CHEAP, *arguments],
        cwd=ROOT,
        timeout=60,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "verified" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny-imagnet"], "did you mean tiny-imagenet?"),
        (["folder"], "--source"),
        (["demo", "--workers", "0"], "workers must lie in 1…1024, but got workers=0."),
        (["demo", "--size", "4000"], "size must lie in 16…512 pixels, but got 4000."),
        (["demo", "--val", "0"], "val must lie in 0.01…0.5 of the training images, but got 0."),
        (["demo", "--val", "nan"], "but got nan."),
        (["folder", "--source", "/nowhere/x.zip"], "/nowhere/x.zip is missing"),
        (["folder", "--source", __file__], "is no zip archive"),
        (["tiny-imagenet", "--source", str(Path(__file__).parent)], "must hold a folder train/"),
        (["demo", "--data", "/dev/null/x"], "can't be written"),
    ],
)
def test_command_line_errors_are_one_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_search_data_has_no_test_and_final_data_has_it(tiny_data: Path) -> None:
    search, final = open_search_data(tiny_data), open_final_data(tiny_data)
    train, val, sample = search.train.indices, search.val.indices, search.train_sample.indices
    assert not hasattr(search, "test")
    assert np.array_equal(np.union1d(train, val), final.train.indices)
    assert len(np.intersect1d(train, val)) == 0
    assert len(np.intersect1d(train, sample)) == len(sample) == len(val) == 8
    assert len(final.test) == 24
    assert final.test.beton != final.train.beton == search.train.beton == search.val.beton
    assert search.images.class_names[0] == "class 1"


def test_manifest_is_plain_json(tiny_data: Path) -> None:
    value = json.loads((tiny_data / "manifest.json").read_text(encoding="utf-8"))
    assert value["dataset"] == NAME
    assert value["versions"]["ffcv"] == "1.0.2"
    assert len(value["fingerprint"]) == 64
