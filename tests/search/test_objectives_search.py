"""A whole search with two objectives on Ray, with real training and real measuring."""

import json
import re

import optuna
import pytest
import yaml

from results.analysis.pareto import pareto_front
from results.records import TrialState
from results.store import read_trials
from search.study.optuna_journal import journal_storage
from tests.search.test_search import command, run

SPACE = """
from search.space import Space
from trainables.config import TrialConfig


def suggest(trial):
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "image_size": trial.suggest_categorical("image_size", [32, 64]),
    }


SPACE = Space(
    summary="two sizes", dataset="tiny-imagenet", suggest=suggest,
    baseline=TrialConfig(network="resnet10", image_size=64, batch_size=16, lr=2e-3, epochs=3),
)
"""


@pytest.mark.slow
def test_a_search_with_two_objectives_ends_in_a_front_and_one_of_its_trials(tmp_path, tiny_data):
    (tmp_path / "sizes.py").write_text(SPACE, encoding="utf-8")
    asked = command(tmp_path, tiny_data, "--trials", "6", "--objectives", "val_top1,latency_ms")
    at = asked.index("--set")
    asked = [*asked[:at], *asked[at + 3 :]]  # the space's own sizes
    asked[asked.index("demo")] = str(tmp_path / "sizes.py")
    done = run(asked)
    assert done.returncode == 0, done.stdout + done.stderr
    directory = tmp_path / "run"
    trials = read_trials(directory)
    assert len(trials) == 6
    by_size = {r.config["image_size"]: set() for r in trials.values()}
    for record in trials.values():
        by_size[record.config["image_size"]].add((record.latency_ms, record.parameters_m))
    assert {size: len(costs) for size, costs in by_size.items()} == {32: 1, 64: 1}
    (small,), (large,) = by_size[32], by_size[64]
    assert small[1] == large[1] == pytest.approx(4.905, abs=0.005)
    assert "Pareto front" in done.stdout
    assert "Most accurate: " in done.stdout
    assert len(re.findall(r"network of 4.9\d\d M parameters", done.stdout)) >= 2

    front = pareto_front(trials, ("val_top1", "latency_ms"))
    best = yaml.safe_load((directory / "best.yaml").read_text(encoding="utf-8"))
    assert best["trial"] == front[0].number
    assert best["value"] == max(r.last_val_top1 for r in trials.values())
    assert best["objectives"]["latency_ms"] == front[0].latency_ms
    assert "on the Pareto front of val_top1, latency_ms" in best["selected_by"]
    options = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))["options"]
    assert options["objectives"] == "val_top1,latency_ms"

    study = optuna.load_study(study_name="run", storage=journal_storage(directory))
    complete = [t for t in study.get_trials() if t.state is optuna.trial.TrialState.COMPLETE]
    assert {t.number: t.values for t in complete} == {
        n: [r.last_val_top1, r.latency_ms]
        for n, r in trials.items()
        if r.state is TrialState.COMPLETE
    }
