"""Predictions as CSV, JSON and a submission: their layout to the letter, whole or not at all."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from results.predictions import read_predictions
from tests.trainables.test_predict import images
from trainables import predict
from trainables.final_model.saved_model import read_model

__all__ = ["images"]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(images: list[Path], tmp_path: Path) -> Path:
    """Twelve images as Tiny ImageNet's test has them, one of them cut, and a text."""
    made = tmp_path / "test" / "images"
    made.mkdir(parents=True)
    for number, path in enumerate(images[:12]):
        shutil.copy(path, made / f"test_{number}.JPEG")
    (made / "test_7.JPEG").write_bytes(images[7].read_bytes()[:700])
    (made / "notes.txt").write_text("notes", encoding="utf-8")
    return made


def test_one_run_writes_all_three_with_the_same_numbers(
    trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = {name: tmp_path / "out" / name for name in ("csv", "json", "submission")}
    words = [word for name, path in out.items() for word in (f"--{name}", str(path))]
    assert predict.main([str(trained), str(folder), *words, "--top", "2"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"error: {folder / 'notes.txt'} must be an image" in printed.err
    assert f"error: {folder / 'test_7.JPEG'} must be an image" in printed.err
    assert printed.err.splitlines()[2:] == [
        "predicted 11 of 13 files, 2 left out", *(f"wrote {path}" for path in out.values()),
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(out)

    numbers = [n for n in range(12) if n != 7]
    logits = torch.from_numpy(read_predictions(trained).logits[:12][numbers])
    shares, classes = logits.softmax(1).topk(2)
    ids = read_model(trained).description.class_ids
    told = json.loads(out["json"].read_text(encoding="ascii"))
    assert list(told) == ["schema_version", "model", "images", "left_out", "hidden", "counts"]
    assert told["schema_version"] == 1
    assert list(told["model"]) == [
        "path", "back_end", "network", "test_top1", "dataset_fingerprint", "class_ids",
        "class_names",
    ]  # fmt: skip
    assert told["model"]["class_ids"] == list(ids)
    assert told["counts"] == {"images": 11, "left_out": 2}
    assert [each["path"] for each in told["left_out"]] == [
        str(folder / "notes.txt"), str(folder / "test_7.JPEG"),
    ]  # fmt: skip
    assert all("must be an image" in each["error"] for each in told["left_out"])
    for row, (number, image) in enumerate(zip(numbers, told["images"], strict=True)):
        assert image["path"] == str(folder / f"test_{number}.JPEG")
        assert [list(each) for each in image["predictions"]] == [
            ["rank", "class_id", "class_name", "probability"]
        ] * 2
        assert [each["rank"] for each in image["predictions"]] == [1, 2]
        assert [each["class_id"] for each in image["predictions"]] == [ids[n] for n in classes[row]]
        for each, share in zip(image["predictions"], shares[row].tolist(), strict=True):
            assert abs(each["probability"] - share) < 1e-5

    rows = list(csv.DictReader(out["csv"].read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == ["path", "rank", "class_id", "class_name", "probability", "error"]
    listed = [
        (image["path"], str(e["rank"]), e["class_id"], e["class_name"], str(e["probability"]), "")
        for image in told["images"]
        for e in image["predictions"]
    ]
    assert [tuple(row.values()) for row in rows if not row["error"]] == listed
    assert [row["path"] for row in rows if row["error"]] == [e["path"] for e in told["left_out"]]
    assert out["submission"].read_text(encoding="utf-8").splitlines() == [
        f"test_{number}.JPEG {ids[classes[row][0]]}" for row, number in enumerate(numbers)
    ]


@pytest.mark.parametrize("option", ["--csv", "--json", "--submission"])
def test_a_dash_prints_instead(
    option: str, trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(trained), str(folder / "test_0.JPEG"), str(folder / "test_2.JPEG"), "--top", "all"]
    assert predict.main([*words, option, str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert predict.main([*words, option, "-"]) == 0
    assert capsys.readouterr().out == (tmp_path / "out").read_text(encoding="utf-8")


def test_names_that_break_lines_stay_one_row_and_are_exact_in_json(
    trained: Path, images: list[Path], tmp_path: Path
) -> None:
    names = ['a"b,c.jpg', "x\ny\x1b[2J.jpg", os.fsdecode(b"\xe9.jpg")]
    paths = [Path(shutil.copy(images[0], tmp_path / name)) for name in names]
    words = ["--csv", str(tmp_path / "csv"), "--json", str(tmp_path / "json"), "--top", "1"]
    assert predict.main([str(trained), *map(str, paths), *words]) == 0
    lines = (tmp_path / "csv").read_text(encoding="utf-8").splitlines()
    assert [row[0] for row in csv.reader(lines[1:])] == [
        str(tmp_path / name) for name in ('a"b,c.jpg', "x\\ny\\x1b[2J.jpg", "\\xe9.jpg")
    ]
    told = json.loads((tmp_path / "json").read_text(encoding="ascii"))
    assert [Path(each["path"]) for each in told["images"]] == paths


def test_a_run_without_any_readable_image_changes_no_file(
    trained: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("older", encoding="utf-8")
    for name in ("test_7.JPEG", "missing.jpg"):
        words = [str(trained), str(folder / name), "--json", str(tmp_path / "out")]
        assert predict.main(words) == 2
    assert (tmp_path / "out").read_text(encoding="utf-8") == "older"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_no_half_file(
    number: signal.Signals, trained: Path, images: list[Path], tmp_path: Path
) -> None:
    """A pipe that nobody reads holds the run up in the middle of its first file."""
    many = tmp_path / "many"
    many.mkdir()
    for index in range(3000):
        os.link(images[index % 24], many / f"{index}.jpg")
    out = tmp_path / "out" / "x.csv"
    command = [sys.executable, "-m", "trainables.predict", str(trained), str(many)]
    command += ["--batch-size", "8", "--csv", str(out), "--json", "-", "--top", "all"]
    running = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    until = time.monotonic() + 60
    assert running.stdout is not None
    running.stdout.read(4096)  # predictions have begun
    while not list(out.parent.glob(".x.csv.*.tmp")) and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode == (143 if number == signal.SIGTERM else -9)
    left = [path.name for path in out.parent.iterdir()]
    assert left == ([] if number == signal.SIGTERM else [f".x.csv.{running.pid}.tmp"])
    assert predict.main([str(trained), str(images[0]), "--csv", str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["x.csv"]
