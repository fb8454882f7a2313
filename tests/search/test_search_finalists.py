"""Whole searches on Ray that end with finalists."""

import signal
import sys

import pytest
import yaml

from results.analysis.finalist_comparison import compare_finalists
from results.records import TrainingId, TrialState
from results.side_store import FINALIST_FILES, SideStore
from results.store import read_trials
from search.study.finalists import choose_finalists, repeat_seed
from tests.search.test_search import command, numbers, run, side_numbers, start, wait_for

pytestmark = pytest.mark.slow


def test_a_search_ends_with_its_finalists(tmp_path):
    done = run(
        [sys.executable, "-m", "search.run", "--space", "demo", "--data", str(tmp_path / "data"),
         "--out", str(tmp_path), "--name", "run", "--trials", "4", "--epochs", "2", "--grace", "1",
         "--precision", "float32", "--set", "image_size=32", "--finalists", "2", "--repeats", "2"]
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    directory = tmp_path / "run"
    records = FINALIST_FILES.read(directory)
    order = choose_finalists(read_trials(directory), 2)
    assert set(records) == {TrainingId(number, repeat) for number in order for repeat in (1, 2)}
    assert {r.state for r in records.values()} == {TrialState.COMPLETE}
    assert {r.epochs for r in records.values()} == {2}
    assert {r.config["seed"] for r in records.values()} == {repeat_seed(0, 1), repeat_seed(0, 2)}
    outcome = compare_finalists(records.values())
    best = yaml.safe_load((directory / "best.yaml").read_text(encoding="utf-8"))
    assert (best["trial"], best["epoch"]) == (outcome.winner.trial, 2)
    assert best["value"] == pytest.approx(outcome.winner.top1.mean, abs=1e-6)
    assert "over 2 repeats" in best["selected_by"]
    assert "Finalists: val_top1 after 2 epochs, 2 fresh seeds" in done.stdout
    assert "repeat 2: complete, val_top1" in done.stdout
    assert not list((directory / "checkpoints").glob("*.pt"))


def test_finalists_that_were_killed_go_on_to_the_same_numbers(tmp_path, tiny_data):
    more = ("--trials", "3", "--concurrency", "1", "--finalists", "1", "--repeats", "2")
    whole = run(command(tmp_path / "whole", tiny_data, *more))
    assert whole.returncode == 0, whole.stderr
    cut = tmp_path / "cut" / "run"
    epochs = cut / "finalist-epochs.jsonl"
    killed = start(command(tmp_path / "cut", tiny_data, *more))
    wait_for(
        lambda: epochs.exists() and epochs.read_text(encoding="utf-8").count("\n") >= 4, killed
    )
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert any(
        r.state is TrialState.RUNNING for r in SideStore(FINALIST_FILES, cut).records().values()
    )
    resumed = run([sys.executable, "-m", "search.run", "--resume", "run", "--out", str(cut.parent)])
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    uncut = tmp_path / "whole" / "run"
    assert side_numbers(FINALIST_FILES, cut) == side_numbers(FINALIST_FILES, uncut)
    assert numbers(cut) == numbers(uncut)


def test_a_finished_search_is_given_finalists_afterwards(tmp_path, tiny_data):
    first = run(command(tmp_path, tiny_data, "--trials", "2"))
    assert first.returncode == 0, first.stderr
    hint = f"python -m search.run --resume run --out {tmp_path} --finalists 3"
    assert hint in first.stdout
    words = [*hint.split()[1:-1], "1", "--repeats", "2"]
    second = run([sys.executable, *words])
    assert second.returncode == 0, second.stdout + second.stderr
    assert set(FINALIST_FILES.read(tmp_path / "run")) == {
        TrainingId(n, r) for n in (0, 1) for r in (1, 2)
    }
    assert len(read_trials(tmp_path / "run")) == 2
