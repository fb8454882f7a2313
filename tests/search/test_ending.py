"""A search that a signal ends, at its start and among its trials, for real."""

import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from datasets.prepare import prepare
from tests.drills.interruptions import hit
from tests.drills.searches import best, epochs_in
from tests.search.test_search import command, numbers, run

ONE = ("--trials", "4", "--epochs", "6", "--concurrency", "1")


def resume(out: Path) -> "subprocess.CompletedProcess[str]":
    return run([sys.executable, "-m", "search.run", "--resume", "run", "--out", str(out)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1"])
def test_among_the_trials_it_ends_as_ctrl_c_does(
    name: str, tmp_path: Path, tiny_data: Path
) -> None:
    whole = run(command(tmp_path / "whole", tiny_data, *ONE))
    assert whole.returncode == 0, whole.stderr
    directory = tmp_path / "cut" / "run"
    found = hit(
        command(tmp_path / "cut", tiny_data, *ONE),
        "trials", name, random.Random(name), 1.0, lambda: epochs_in(directory) >= 2,
    )  # fmt: skip
    assert found.code == 128 + signal.Signals[f"SIG{name}"]
    assert found.left == ()
    assert (directory / "best.yaml").exists()
    assert "</html>" in (directory / "report.html").read_text(encoding="utf-8")
    assert not (directory / "checkpoints" / ".save").exists()
    done = resume(tmp_path / "cut")
    assert done.returncode == 0, done.stderr
    assert numbers(directory) == numbers(tmp_path / "whole" / "run")
    assert best(directory) == best(tmp_path / "whole" / "run")


@pytest.mark.slow
def test_running_trials_save_themselves_within_their_epoch(tmp_path: Path) -> None:
    """Epochs of seconds: the checkpoint holds a part of one, and nothing of it is trained again."""
    prepare("demo", data=tmp_path / "data", workers=1)
    words = [
        sys.executable, "-m", "search.run", "--space", "demo", "--data", str(tmp_path / "data"),
        "--out", str(tmp_path), "--name", "run", "--trials", "2", "--epochs", "3", "--grace", "1",
        "--concurrency", "1", "--precision", "float32", "--set", "batch_size=8", "image_size=64",
    ]  # fmt: skip
    directory = tmp_path / "run"
    found = hit(words, "trials", "TERM", random.Random(0), 1.0, lambda: epochs_in(directory) >= 1)
    assert found.code == 143
    (path,) = (directory / "checkpoints").glob("*.pt")
    saved = torch.load(path, weights_only=True)
    assert len(saved["history"]) >= 1
    assert saved["partial"]["step"] >= 1
    done = resume(tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"goes on after epoch [12]", done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("at_s", [0.3, 1.5, 4.0, 7.0])
def test_at_the_start_it_ends_in_a_sentence(at_s: float, tmp_path: Path, tiny_data: Path) -> None:
    class Moment(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return at_s

    words = command(tmp_path, tiny_data, *ONE)
    found = hit(words, "start", "TERM", Moment(), at_s)
    assert found.code == 143
    assert found.left == ()
