"""A search that chooses the network too, with real training: to its end, resumed, and used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from results.analysis.final_run import read_record
from results.records import TrialState
from results.store import read_trials
from tests.search.space_of_networks import write_networks

ROOT = Path(__file__).parents[2]


def run(module: str, *words: object) -> str:
    """Runs a command of the project, and returns what it prints; it must exit with 0."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)], cwd=ROOT, capture_output=True,
        encoding="utf-8", timeout=400, env=os.environ | {"PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_networks_are_searched_resumed_exported_and_the_winner_is_trained(
    tmp_path: Path, tiny_data: Path
) -> None:
    data = ("--data", tiny_data.parent)
    shown = run(
        "search.run", "--space", write_networks(tmp_path / "own"), "--dataset", "tiny-imagenet",
        *data, "--out", tmp_path, "--name", "run", "--trials", 6, "--epochs", 2, "--grace", 1,
        "--precision", "float32", "--concurrency", 1, "--seed", 2,
    )  # fmt: skip
    assert "(as asked, of resnet10, images/s a trial: float32 " in shown
    first = read_trials(tmp_path / "run")
    assert {each.config["network"] for each in first.values()} == {"resnet10", "mini_alexnet"}
    more = run("search.run", "--resume", "run", "--out", tmp_path, "--trials", "+2")
    assert "an epoch of resnet10" in more
    trials = read_trials(tmp_path / "run")
    assert len(trials) == 8
    assert {n: trials[n].params for n in first} == {n: each.params for n, each in first.items()}
    assert all(each.state in (TrialState.COMPLETE, TrialState.STOPPED) for each in trials.values())
    run("results.export", tmp_path / "run")
    best = yaml.safe_load((tmp_path / "run" / "best.yaml").read_text(encoding="utf-8"))
    assert best["value"] == max(each.last_val_top1 or 0 for each in trials.values())
    out = tmp_path / "final"
    run("trainables.final", "--config", tmp_path / "run" / "best.yaml", *data, "--out", out)
    record = read_record(out / "final.json")
    assert record.config["network"] == best["config"]["network"]
    run("results.importance", tmp_path / "run")
    run("results.report", tmp_path / "run")
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "mini_alexnet" in report
    copies = {each.name for each in (tmp_path / "run" / "space").iterdir()}
    assert copies == {"networks.py", "_networks.py"}
    searched = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert searched["searched"]["weights"] is None or searched["searched"]["weights"] == "none"
