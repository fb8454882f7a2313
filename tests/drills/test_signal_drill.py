"""Signal × phase, at drawn moments: commands end in order, and go on to the undisturbed numbers."""

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

import pytest
import yaml

from datasets.manifest import read_manifest
from results.store import read_epochs
from tests.drills.interruptions import PHASES, SIGNALS, Hit, counted, hit, record
from tests.drills.searches import best, epochs_in, run
from tests.search.test_search import numbers

HITS = int(os.environ.get("DRILL_HITS", "10"))
SEED = int(os.environ.get("DRILL_SEED", "0"))
CHOSEN = os.environ.get("DRILL_SIGNALS", " ".join(SIGNALS)).split()


def search(out: Path, data: Path) -> list[str]:
    """A search of small trials on one core: two threads on a busy machine wait for each other."""
    return [
        "taskset", "-c", "0", sys.executable, "-m", "search.run", "--space", "demo",
        "--dataset", "tiny-imagenet", "--data", str(data.parent), "--out", str(out),
        "--resume-or-start", "run",
        "--trials", "5", "--epochs", "6", "--grace", "2", "--concurrency", "1",
        "--finalists", "1", "--repeats", "2", "--precision", "float32",
        "--set", "batch_size=8", "image_size=32",
    ]  # fmt: skip


def log_path(tmp_path: Path) -> Path:
    return Path(os.environ.get("DRILL_LOG") or tmp_path / "hits.jsonl")


def base_path(tmp_path: Path) -> Path:
    """Where the undisturbed runs lie, which a drill that is started again finds there."""
    base = Path(os.environ.get("DRILL_BASE") or tmp_path)
    base.mkdir(parents=True, exist_ok=True)
    return base


def finalist_epochs(directory: Path) -> int:
    path = directory / "finalist-epochs.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def counts(directory: Path) -> tuple[int, int]:
    return epochs_in(directory), finalist_epochs(directory)


def hit_search(
    out: Path, data: Path, phase: str, name: str, moment: random.Random
) -> tuple[Hit, int]:
    """One session of the search, hit in this phase, and how many recorded epochs it lost."""
    directory = out / "run"
    before = counts(directory)
    which = {"trials": 0, "finalists": 1}.get(phase)
    found = hit(
        search(out, data), phase, name, moment, 8.0 if which is None else 1.5,
        lambda: which is None or counts(directory)[which] > before[which],
    )  # fmt: skip
    after = counts(directory)
    if found.code is not None and which is not None:
        left = {path.name for path in directory.iterdir()}
        assert {"best.yaml", "report.html"} <= left, left
        assert not list(directory.rglob("*.tmp"))
        assert not (directory / "checkpoints" / ".save").exists()
    return found, sum(max(b - a, 0) for b, a in zip(before, after, strict=True))


@pytest.mark.drill
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("name", CHOSEN)
def test_a_search_ends_in_order_and_goes_on(tmp_path: Path, tiny_data: Path, name: str) -> None:
    log, base = log_path(tmp_path), base_path(tmp_path)
    whole = base / "whole" / "run"
    run(search(base / "whole", tiny_data))  # says that it is done, where it was trained before
    lost = chain = 0
    while cells := [p for p in PHASES[:1] + PHASES[2:4] if counted(log, p, name) < HITS]:
        chain += 1
        out = tmp_path / f"cut-{chain}"
        out.mkdir()
        shutil.copy(base / "whole" / ".calibrations.json", out)  # measuring takes long
        moment = random.Random(f"{SEED}-{name}-{counted(log, 'start', name)}-{chain}")
        for phase in ("start", "trials", "trials", "trials", "start", "finalists", "finalists"):
            if phase in cells and counted(log, phase, name) < HITS:
                found, missing = hit_search(out, tiny_data, phase, name, moment)
                lost += missing
                record(found, log)
                assert not found.left, found
        run(search(out, tiny_data))
        assert numbers(out / "run") == numbers(whole)
        assert best(out / "run") == best(whole)
        recorded = [(trial, metrics.epoch) for trial, metrics in read_epochs(out / "run")]
        assert len(recorded) == len(set(recorded))
    print(f"SIG{name}: {chain} searches, {lost} recorded epochs lost, numbers as without: {log}")


@pytest.mark.drill
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("name", CHOSEN)
def test_a_conversion_ends_in_order_and_goes_on(tmp_path: Path, name: str) -> None:
    log, moment = log_path(tmp_path), random.Random(f"{SEED}-data-{name}")

    def command(data: Path) -> list[str]:
        return [
            sys.executable, "-m", "datasets.prepare", "demo", "--data", str(data), "--workers", "2",
        ]  # fmt: skip

    longest_s = time_whole(command(tmp_path / "whole"))
    while counted(log, "data", name) < HITS:
        found = hit(command(tmp_path / "cut"), "data", name, moment, 0.8 * longest_s)
        record(found, log)
        assert not found.left, found
        folder = tmp_path / "cut" / "demo"
        if found.code is not None and folder.exists() and not (folder / "manifest.json").exists():
            assert not list(folder.glob("*.partial")) + list(folder.glob(".*.partial"))
        run(command(tmp_path / "cut"))
        again, whole = read_manifest(folder), read_manifest(tmp_path / "whole" / "demo")
        assert again.fingerprint == whole.fingerprint
        shutil.rmtree(tmp_path / "cut")  # drawing the images takes most of the time


@pytest.mark.drill
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("name", CHOSEN)
def test_final_training_ends_in_order_and_goes_on(
    tmp_path: Path, tiny_data: Path, name: str
) -> None:
    log, moment = log_path(tmp_path), random.Random(f"{SEED}-final-{name}")
    config = final_config(tmp_path, tiny_data)

    def command(out: Path) -> list[str]:
        return [
            sys.executable, "-m", "trainables.final", "--config", str(config), "--threads", "1",
            "--data", str(tiny_data.parent), "--repeats", "2", "--out", str(out),
        ]  # fmt: skip

    longest_s = time_whole(command(tmp_path / "whole"))
    chain = 0
    while counted(log, "final", name) < HITS:
        chain += 1
        out = tmp_path / f"cut-{chain}"
        found = hit(command(out), "final", name, moment, longest_s)
        record(found, log)
        assert not found.left, found
        if found.code is not None:
            run(command(out))
        for folder in ("", "repeat-2"):
            assert outcome(out / folder) == outcome(tmp_path / "whole" / folder)
        names = [path.name for path in out.rglob("*")]
        assert not [each for each in names if each.endswith((".tmp", "checkpoint.pt"))], names
        assert {"report.html", "MODEL_CARD.md"} <= set(names)


def time_whole(command: list[str]) -> float:
    """How many seconds an undisturbed command takes, from which the moments are drawn."""
    began = time.monotonic()
    run(command)
    return time.monotonic() - began


def final_config(tmp_path: Path, tiny_data: Path) -> Path:
    path = tmp_path / "best.yaml"
    config = {
        "network": "resnet10", "image_size": 32, "batch_size": 8, "epochs": 12, "lr": 2e-3,
        "precision": "float32", "flip": True, "dropout": 0.2,
    }  # fmt: skip
    fingerprint = read_manifest(tiny_data).fingerprint
    values = {
        "schema_version": 1, "config": config, "dataset": tiny_data.name, "metric": "val_top1",
        "dataset_fingerprint": fingerprint, "value": 0.5, "epoch": 2, "provenance": {"run": "r"},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def outcome(folder: Path) -> list[object]:
    """What a final training has come to: its record's figures, and each epoch's loss."""
    record = json.loads((folder / "final.json").read_text(encoding="utf-8"))
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(line)["train_loss"] for line in lines]
    return [record["test_top1"], record["test_loss"], record["config"]["seed"], losses]
