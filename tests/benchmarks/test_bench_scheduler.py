"""The scheduler benchmark's own parts, and a smoke test of it."""

import json
from collections import Counter

import numpy as np
import pytest

from results.analysis.rung_values import quiet_optuna
from results.jsonl import read_lines
from results.published import make_scheduler
from search.simulation.recorded_curves import read_curves
from search.simulation.simulator import simulate
from tests.benchmarks import bench_scheduler, measure, rivals, rivals_prior
from tests.benchmarks.bench_scheduler import Cell, forget, missing, search
from tests.benchmarks.drawn import EPOCHS, draw
from tests.search.curves_for_simulation import made, rules


def test_one_epoch_for_all_spends_half_its_budget_on_the_best():
    curves = made([[0.1 * row] * 5 for row in range(8)])
    with quiet_optuna():
        policy = rivals.OneEpoch(curves, seed=1, budget=32)
    trace = simulate(policy, curves, workers=3, epochs=32)
    # 32 / 2 / 4 = 4 trials go on for 4 epochs each, 16 have had their one.
    epochs = Counter(event.trial for event in trace.events)
    assert sorted(epochs.values()) == [1] * 12 + [5] * 4
    first = {event.trial: event.val for event in trace.events if event.epoch == 1}
    ranked = sorted(first, key=first.__getitem__, reverse=True)
    assert sorted(first[trial] for trial in ranked[:4]) == sorted(
        first[trial] for trial, count in epochs.items() if count == 5
    )


@pytest.mark.parametrize("make", [rivals.hyperband, rivals.successive_halving])
def test_optunas_pruners_stop_some_trials_and_depend_on_the_seed_alone(make, tmp_path):
    curves = read_curves(draw(tmp_path, 0))

    def events(seed):
        with quiet_optuna():
            policy = make(curves, rules(EPOCHS, grace=3), seed)
        return simulate(policy, curves, workers=4, epochs=12 * EPOCHS).events

    epochs = Counter(event.trial for event in events(1))
    assert min(epochs.values()) < EPOCHS == max(epochs.values())
    assert events(1) == events(1) != events(2)


@pytest.mark.parametrize(("belief", "rows"), [("right", [0]), ("wrong", [18, 19])])
def test_without_a_baseline_a_prior_s_first_trial_is_the_row_that_it_believes_in(belief, rows):
    curves = made([[1 - 0.04 * row] * 5 for row in range(20)])
    with quiet_optuna():
        study = rivals_prior.POLICIES[f"ours, {belief} prior 0.5"](curves, rules(5, grace=3), 1)
        first = study.ask()
    assert curves.nearest(first.config.params) in rows


def test_what_is_on_disk_is_not_searched_again_unless_asked_for(tmp_path):
    path = tmp_path / "s.jsonl"
    cells = [Cell(policy, "a", 8, seed) for policy in ("ours", "random") for seed in range(2)]
    assert missing(path, cells) == cells
    done = [{"policy": c.policy, "task": c.task, "workers": c.workers, "seed": c.seed}
            for c in cells[1:3]]  # fmt: skip
    path.write_text(
        "".join(json.dumps(line) + "\n" for line in [{"budget": 60}, *done]), encoding="utf-8"
    )
    assert missing(path, cells) == [cells[0], cells[3]]
    with path.open("a", encoding="utf-8") as file:
        file.write('{"policy": "ours", "ta')  # killed while writing
    forget(path, ["random"])
    assert (
        path.read_text(encoding="utf-8").count("\n")
        == len(path.read_text(encoding="utf-8").splitlines())
        == 2
    )
    assert missing(path, cells) == [cells[0], cells[2], cells[3]]
    assert next(read_lines(path)) == {"budget": 60}


def test_only_policies_that_can_choose_rows_search_among_them(capsys):
    words = ["--only-rows", "--policy", "ours", "Optuna: TPE + Hyperband"]
    with pytest.raises(SystemExit):
        bench_scheduler.benchmark(words)
    assert "ours, random + ASHA, random, not Optuna: TPE + Hyperband." in capsys.readouterr().err


def test_a_search_of_rows_alone_misses_none(tmp_path):
    path = tmp_path / "dozen.npz"
    np.savez(path, configs=np.linspace(0, 1, 12)[:, None], names=np.array(["x"]),
             val_accuracy=np.outer(np.linspace(50, 60, 12), [0.5, 0.8, 1.0]))  # fmt: skip
    cells = [Cell("random", "dozen", 1, seed) for seed in range(3)]
    assert [search(cell, path, 12.0, True)["regret"][-1] for cell in cells] == [0.0] * 3
    assert max(search(cell, path, 12.0)["regret"][-1] for cell in cells) > 0


@pytest.mark.slow
def test_the_benchmark_runs_and_makes_its_page(tmp_path):
    out = tmp_path / "out.jsonl"
    command = ["-m", "tests.benchmarks.bench_scheduler", "--quick", "--workers", "4"]
    measure.run([*command, "--out", out], timeout_s=580)
    found = [line for line in read_lines(out) if "policy" in line]
    assert {line["policy"] for line in found} == set(bench_scheduler.USUAL)
    assert len(found) == 2 * len(bench_scheduler.USUAL)
    before = out.read_text(encoding="utf-8").splitlines()
    measure.run([*command, "--out", out], timeout_s=580)
    assert out.read_text(encoding="utf-8").splitlines()[: len(before)] == before
    assert len([line for line in read_lines(out) if "policy" in line]) == len(found)
    make_scheduler.main(["--searches", str(out), "--out", str(tmp_path)])
    assert "## 4 workers" in (tmp_path / "scheduler.md").read_text(encoding="utf-8")
