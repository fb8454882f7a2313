"""The overfitting benchmark's own parts, and a smoke test of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from results.jsonl import read_lines
from results.published import make_overfitting
from results.store import RunStore
from tests.benchmarks import bench_overfitting, measure
from tests.benchmarks import overfitting_rules as rules
from tests.benchmarks.overfitting_figures import at_best, fallen, figures, parted, stop, stops
from tests.search.curves_for_simulation import made
from tests.search.study_on_curves import metrics

VALS = [0.1, 0.3, 0.5, 0.49, 0.48, 0.47, 0.46]
TRAIN = [0.1, 0.35, 0.6, 0.62, 0.64, 0.66, 0.68]
EPOCHS = [
    metrics(e, val, gap=train - val)
    for e, (val, train) in enumerate(zip(VALS, TRAIN, strict=True), 1)
]


@pytest.mark.parametrize(
    ("rule", "epoch"),
    [
        (rules.never, 7),
        (rules.patience(3), 6),
        (rules.last_gap(0.15, 2), 5),  # gaps: 0.1 in the best epoch, then 0.13 0.16 0.19 0.22
        (rules.in_a_row(0.15, 2), 6),
        (rules.relative_gap(0.28, 2), 6),  # 0.19 of 0.66 is 0.288; 0.16 of 0.64 is 0.25
        (rules.widened(0.08, 2), 6),  # 0.19 - 0.1; 0.16 - 0.1 isn't enough
        (rules.ours(0.15, 2), 6),  # mean of 5 and 6 below that of 3 and 4
    ],
)
def test_the_epoch_in_which_each_rule_stops(rule, epoch):
    assert stop(EPOCHS, rule) == epoch


def table():
    """Four trials of six epochs: overfits, rises, falls with its training, sways."""
    val = [
        [0.50, 0.40, 0.40, 0.40, 0.40, 0.40],
        [0.10, 0.20, 0.30, 0.40, 0.50, 0.60],
        [0.50, 0.40, 0.40, 0.40, 0.40, 0.40],
        [0.20, 0.30, 0.20, 0.30, 0.20, 0.25],
    ]
    train = np.array(val) + 0.1
    train[0] = [0.5, 0.6, 0.7, 0.8, 0.9, 0.9]
    train[2] = val[2]
    train[3] = [0.2, 0.2, 0.2, 0.2, 0.2, 0.21]
    return replace(made(val), train=train)


def test_a_trial_overfits_whose_curves_have_parted():
    assert parted(table(), 0.01).tolist() == [True, False, False, False]
    # The fourth's training ends above its value in the best epoch, though it learns nothing.
    assert fallen(table(), 0.01).tolist() == [True, False, False, True]


def test_what_stopping_saves_and_loses():
    curves = table()
    found = figures(curves, np.array([2, 3, 6, 6]))
    assert found["saved"] == round((4 + 3) / 24, 5)
    assert found["overfitting"]["parted by 1 %"] == {"trials": 1, "epochs": 6, "saved": 4}
    # Four trials, so every search sees them all: 0.5 instead of 0.6.
    assert found["lost"] == found["lost_worst"] == found["lost_table"] == pytest.approx(1 / 6, 1e-5)
    assert found["loss_rise"] == pytest.approx(np.log(0.5) / np.log(0.6) - 1, 1e-5)


def test_the_rules_stop_rows_of_a_table_and_the_best_epoch_loses_nothing():
    curves = table()
    found = stops(curves, {"patience": rules.patience(2), "none": rules.never})
    assert found["patience"].tolist() == [3, 6, 3, 4]
    assert found["none"].tolist() == [6] * 4
    assert at_best(curves).tolist() == [1, 6, 1, 2]
    assert figures(curves, at_best(curves))["lost"] == 0.0


def test_a_finished_search_is_looked_at_again_without_its_baseline(tmp_path):
    store = RunStore(tmp_path / "first")
    for epoch in EPOCHS:
        store.add_epoch(0, epoch)
        store.add_epoch(1, epoch)
    store.write_manifest({"name": "first"})
    store.close()
    found = {line["rule"]: line for line in bench_overfitting.again(tmp_path / "first")}
    line = found["patience 5"]
    assert (line["trials"], line["epochs"], line["trained"]) == (1, 7, 7)  # stale for 4 at the end
    assert line["stopped"] == 0
    assert found.keys() >= {rules.default()}


def test_what_is_on_disk_is_not_measured_again(tmp_path):
    path = tmp_path / "o.jsonl"
    tasks, policies = ["a", "b"], ["random", "ours"]
    tables, searches = bench_overfitting.missing(path, tasks, policies, range(2))
    assert tables == tasks
    assert searches[:3] == [("a", "random", 0), ("b", "random", 0), ("a", "random", 1)]
    assert len(searches) == 8
    done = [{"budget": 60}, {"rule": "none", "task": "a", "part": "all"},
            {"task": "b", "policy": "random", "seed": 0}]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in done), encoding="utf-8")
    left = bench_overfitting.missing(path, tasks, policies, range(2))
    assert left == (["b"], [each for each in searches if each != ("b", "random", 0)])


def test_the_defaults_are_among_the_rules():
    assert rules.default() in rules.RULES


@pytest.mark.slow
def test_the_benchmark_runs_and_makes_its_page(tmp_path):
    out = tmp_path / "out.jsonl"
    measure.run(["-m", "tests.benchmarks.bench_overfitting", "--quick", "--out", out],
                timeout_s=580)  # fmt: skip
    found = list(read_lines(out))
    names = {line["rule"] for line in found if "task" in line and "rule" in line}
    assert names == {*rules.RULES, "at the best epoch"}
    assert {line["policy"] for line in found if "policy" in line} == {
        "random", "random + ASHA", "ours"
    }  # fmt: skip
    make_overfitting.main(["--measured", str(out), "--out", str(tmp_path / "page.md")])
    assert "## Whole searches" in (tmp_path / "page.md").read_text(encoding="utf-8")
