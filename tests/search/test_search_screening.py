"""Whole searches on Ray that begin with short trainings."""

import json
import signal
import sys

import pytest

from results.records import TrainingId, TrialState
from results.side_store import SCREENING_FILES
from results.store import read_trials
from tests.search.test_search import command, numbers, run, side_numbers, start, wait_for

pytestmark = pytest.mark.slow

MORE = ("--fidelity", "screening", "--trials", "3", "--epochs", "60", "--concurrency", "1")
COUNT = 13
"""Three of 60 epochs on all of the images, of which half would be too few, cost 1.5 · 0.05."""


def test_a_killed_search_goes_on_to_the_same_short_trainings_and_trials(tmp_path, tiny_data):
    whole = run(command(tmp_path / "whole", tiny_data, *MORE))
    assert whole.returncode == 0, whole.stdout + whole.stderr
    directory = tmp_path / "whole" / "run"
    records = SCREENING_FILES.read(directory)
    assert list(records) == [TrainingId(number, screening=True) for number in range(COUNT)]
    assert {r.state for r in records.values()} == {TrialState.COMPLETE}
    assert {(r.epochs, r.config["epochs"], r.images) for r in records.values()} == {(3, 3, 1.0)}
    assert len(read_trials(directory)) == 3
    assert f"{COUNT} short trainings tell configurations" in whole.stdout
    assert "screening 0: starts (13 short ones in all)" in whole.stdout
    assert not list((directory / "checkpoints").glob("*.pt"))
    assert "What came before the trials" in (directory / "report.html").read_text(encoding="utf-8")
    cut = tmp_path / "cut" / "run"
    epochs = cut / "screening-epochs.jsonl"
    killed = start(command(tmp_path / "cut", tiny_data, *MORE))
    wait_for(
        lambda: epochs.exists() and epochs.read_text(encoding="utf-8").count("\n") >= 5, killed
    )
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert any(r.state is TrialState.RUNNING for r in SCREENING_FILES.read(cut).values())
    resumed = run([sys.executable, "-m", "search.run", "--resume", "run", "--out", str(cut.parent)])
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert side_numbers(SCREENING_FILES, cut) == side_numbers(SCREENING_FILES, directory)
    assert numbers(cut) == numbers(directory)


def test_short_trainings_see_a_part_of_the_images_at_half_their_size(tmp_path):
    done = run(
        [sys.executable, "-m", "search.run", "--space", "demo", "--data", str(tmp_path / "data"),
         "--out", str(tmp_path), "--name", "run", "--trials", "2", "--epochs", "6",
         "--precision", "float32", "--fidelity", "screening"]
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    planned = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert planned["screening"] == {
        "count": 21, "epochs": 3, "images": 0.25, "size": 0.5, "cost": 0.046875,
    }  # fmt: skip
    epochs = list(SCREENING_FILES.read_epochs(tmp_path / "run"))
    seen = {round(m.images_per_s * m.train_s) for _, m in epochs}
    assert seen == {256}  # eight batches of 32: a quarter of 1,080 images is 270
    records = SCREENING_FILES.read(tmp_path / "run")
    assert {r.config["image_size"] for r in records.values()} == {32}
    assert "21 configurations for 3 epochs on 0.25 of the images" in done.stdout
