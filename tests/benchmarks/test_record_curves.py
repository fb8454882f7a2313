"""Recorded trainings: what is drawn, what is trained, and that a table gives it all back."""

import json
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

from datasets.access import open_search_data
from datasets.loading.share import share_of
from results.analysis.curve_table import Recording, read_recording, read_table, write_table
from results.analysis.rung_values import quiet_optuna
from results.published import make_curves
from search.simulation import policies, recorded_curves
from search.simulation.simulator import simulate
from search.spaces import find_space
from search.study.duplicates import configuration_key
from tests.benchmarks import measure, record_curves, recorded_training
from tests.benchmarks.measure import BenchmarkError
from tests.benchmarks.recorded_rows import (
    FIDELITIES,
    SEEDS,
    Task,
    cool_down_epochs,
    rows,
    rungs,
)
from tests.benchmarks.recorded_training import cooling, record
from tests.search.curves_for_simulation import rules
from trainables.config import TrialConfig
from trainables.train import train
from trainables.training.optimizer import lr_at

TINY_SPACE = '''
"""A space of the tests: one conditional parameter, and an average of the weights."""

from search.space import Space
from trainables.config import TrialConfig


def suggest(trial):
    """Two optimizers."""
    values = {
        "lr": trial.suggest_float("lr", 1e-3, 1e-2, log=True),
        "ema": trial.suggest_categorical("ema", [0.0, 0.9]),
        "optimizer": trial.suggest_categorical("optimizer", ["adamw", "sgd"]),
    }
    if values["optimizer"] == "sgd":
        values["momentum"] = trial.suggest_float("momentum", 0.0, 0.9)
    return values


SPACE = Space(
    summary="tests",
    dataset="tiny-imagenet",
    baseline=TrialConfig(network="resnet10", image_size=32, batch_size=8, lr=2e-3, epochs=5,
                         precision="float32"),
    suggest=suggest,
)
'''


@pytest.fixture
def tiny_space(tmp_path: Path) -> Path:
    path = tmp_path / "tiny_space.py"
    path.write_text(TINY_SPACE, encoding="utf-8")
    return path


def test_half_of_the_rows_are_drawn_as_a_search_does_and_a_tenth_has_three_seeds():
    space = find_space("mini_alexnet")
    planned = list(islice(rows(space, {"epochs": 35}, {}), 201))
    assert planned[0].config == space.baseline.but(epochs=35)
    assert [row.number for row in planned] == list(range(201))
    for count in (20, 100, 200):
        kinds = [row.origin for row in planned[1 : count + 1]]
        assert kinds.count("search") == kinds.count("uniform") == count // 2
        repeated = [row for row in planned[1 : count + 1] if row.seeds == SEEDS]
        assert abs(len(repeated) - count / 10) <= 1
    assert len({configuration_key(row.params, row.config) for row in planned}) == 201
    kept = {
        origin: sum(
            row.params.get(name) == value
            for row in planned
            if row.origin == origin
            for name, value in planned[0].params.items()
        )
        for origin in ("search", "uniform")
    }
    assert kept["search"] > 1.5 * kept["uniform"]  # 0.375 + 0.625 · chance, against chance
    assert {row.params["optimizer"] == "sgd" for row in planned if "momentum" in row.params} == {
        True
    }
    again = list(islice(rows(space, {"epochs": 35}, {}), 201))
    assert planned == again


def test_ranges_can_end_earlier_and_fields_be_fixed():
    at_most = {"image_size": 128, "freeze_depth": 2, "dropout": 0.2}
    found = list(islice(rows(find_space("efficientnet_lite0"), {"lr": 1e-3}, at_most), 60))
    assert {row.config.image_size for row in found} == {96, 128}
    assert {row.config.freeze_depth for row in found} == {0, 1, 2}
    assert max(row.config.dropout for row in found) == 0.2
    assert {row.config.lr for row in found} == {1e-3}
    assert all("lr" not in row.params for row in found)
    sizes = CategoricalDistribution([96, 128])
    assert {row.distributions["image_size"] for row in found} == {sizes}


def test_fidelities_shrink_what_counts_in_epochs():
    config = TrialConfig(network="resnet10", epochs=36, schedule="step", step_epochs=9,
                         warmup_epochs=3, image_size=48)  # fmt: skip
    made = {each.name: each.of(config) for each in FIDELITIES}
    assert made["full"] == config
    shapes = {n: (c.epochs, c.step_epochs, c.warmup_epochs, c.image_size) for n, c in made.items()}
    assert shapes["third"] == (12, 3, 1, 48)
    assert shapes["ninth"] == (4, 1, pytest.approx(1 / 3), 48)
    assert shapes["half_size"] == (36, 9, 3, 32)
    assert shapes["ninth_quarter_half"] == (4, 1, pytest.approx(1 / 3), 32)
    assert rungs(15) == (3, 9)
    assert rungs(35) == (3, 9, 27)
    assert [cool_down_epochs(rung) for rung in (3, 9, 27)] == [1, 2, 5]


def test_a_cool_down_falls_from_where_the_schedule_stands_in_equal_steps_to_0():
    config = TrialConfig(network="resnet10", epochs=12, lr=0.01)
    start = lr_at(config, 3 * 10, 10)
    found = [cooling(config, 3, 2)(step, 10) for step in range(30, 50)]
    assert found == pytest.approx([start * (20 - done) / 20 for done in range(20)])


def first(space: Path, fidelity: int, **where) -> Task:
    for row in rows(find_space(str(space)), {}, {}):
        if all(getattr(row.config, name) == value for name, value in where.items()):
            return Task(row=row, seed=1, fidelity=FIDELITIES[fidelity])
    raise AssertionError


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_recording_has_the_numbers_of_a_search(ema, tiny_space, tiny_data, one_thread):
    data, task = open_search_data(tiny_data), first(tiny_space, 0, ema=ema)
    line = record(task, data)
    plain = list(train(task.config, data))
    curves = line["curves"]
    assert len(plain) == 5
    names = {"val_top1": "val_top1", "val_loss": "val_loss", "train_top1": "train_top1",
             "train_loss": "train_loss", "lr": "lr"}  # fmt: skip
    for ours, theirs in names.items():
        assert curves[ours] == [getattr(metrics, theirs) for metrics in plain], ours
    assert ("raw_val_top1" in curves) == (ema > 0)
    weights_alone = curves["raw_val_loss" if ema else "val_loss"]
    assert curves["average_val_loss"] != weights_alone
    assert all(cpu > 0 for cpu in curves["cpu_s"])
    assert [(branch["rung"], branch["epochs"]) for branch in line["cool_down"]] == [(3, 1)]


@pytest.mark.slow
def test_a_branch_begins_with_the_trainings_own_weights_and_optimizer(
    tiny_space, tiny_data, one_thread, monkeypatch
):
    """With the training's own learning rates a branch is what the training is an epoch later."""
    task = first(tiny_space, 0, ema=0.0)
    monkeypatch.setattr(
        recorded_training, "cooling", lambda config, _rung, _epochs: partial(lr_at, config)
    )
    line = record(task, open_search_data(tiny_data))
    (branch,) = line["cool_down"]
    for name in ("val_loss", "train_eval_loss", "train_loss"):
        assert branch[name] == line["curves"][name][3]


def test_a_share_of_the_images_is_the_same_share_of_every_class(tiny_data):
    data = open_search_data(tiny_data)
    part = share_of(data.train, 1 / 4)
    assert share_of(data.train, 1) is data.train
    assert len(part) == 4 * round(18 / 4)
    assert set(part.indices) < set(data.train.indices)
    per_class = [sum(20 * c <= index < 20 * (c + 1) for index in part.indices) for c in range(4)]
    assert per_class == [4, 4, 4, 4]


def test_a_training_that_diverges_stops_where_it_does(tiny_space, tiny_data, one_thread):
    task = first(tiny_space, 0, optimizer="sgd")
    row = task.row
    wild = Task(row=type(row)(number=1, origin="uniform", params=row.params,
                              distributions=row.distributions, repeated=False,
                              config=row.config.but(lr=1e20)),
                seed=0, fidelity=FIDELITIES[0])  # fmt: skip
    line = record(wild, open_search_data(tiny_data))
    assert line["curves"]["train_loss"] == [None]
    assert line["cool_down"] == []
    json.dumps(line, allow_nan=False)


def single(value):
    """A number as a table holds it, in single precision; whole ones and `None` as they are."""
    return float(np.float32(value)) if isinstance(value, float) else value


def command(space: Path, zip_file: Path, out: Path, *more: str) -> list[str]:
    return [str(space), "--source", str(zip_file), "--images", "8", "--epochs", "2",
            "--processes", "1", "--out", str(out), *more]  # fmt: skip


@pytest.mark.slow
def test_a_recording_goes_on_where_it_stopped_and_its_table_is_searched(
    tiny_space, tiny_zip, tmp_path
):
    out = tmp_path / "tiny.jsonl"
    measure.run(["-m", "tests.benchmarks.record_curves",
                 *command(tiny_space, tiny_zip, out, "--rows", "1")], timeout_s=300)  # fmt: skip
    lines = out.read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(lines) == 1 + 3 * len(FIDELITIES)
    recording = read_recording(out)
    assert recording.headers[0]["conditions"] == {"momentum": ["optimizer", "sgd"]}
    assert recording.headers[0]["train_images"] == 4 * 7
    # Another row, drawn by hand: its lines are copies, so that nothing more need be trained.
    second = [
        dict(t, row=1, origin="uniform", seed=0) for t in recording.trainings if not t["seed"]
    ]
    for training in second:
        training["params"] = {"lr": 5e-3, "ema": 0.9, "optimizer": "sgd", "momentum": 0.3}
        training["curves"] = dict(
            training["curves"], train_loss=[0.9, None][: len(training["curves"]["lr"])]
        )
    recording = Recording(headers=recording.headers, trainings=recording.trainings + second)
    table = tmp_path / "tiny.npz"
    write_table(table, recording)
    again = read_table(table)
    assert again.headers == recording.headers
    assert again.keys() == recording.keys()
    for training in recording.trainings:
        (same,) = [t for t in again.trainings
                   if all(t[k] == training[k] for k in ("row", "seed", "fidelity"))]  # fmt: skip
        assert same["params"] == training["params"]
        assert same["curves"].keys() == training["curves"].keys()
        for name, values in training["curves"].items():
            assert same["curves"][name] == [single(value) for value in values], name
        assert same["cool_down"] == [
            {name: single(value) for name, value in branch.items()}
            for branch in training["cool_down"]
        ]
    write_table(tmp_path / "again.npz", again)
    assert (tmp_path / "again.npz").read_bytes() == table.read_bytes()

    assert make_curves.main(["--recordings", str(tmp_path), "--out", str(tmp_path)]) == 0
    said = (tmp_path / "tiny.md").read_text(encoding="utf-8")
    assert "2 configurations of the space `tiny`, each trained for 2 epochs" in said
    assert "| rows | 1 baseline, 1 uniform |" in said
    assert "28 training images, 4 val images, 4 classes" in said
    assert (
        "| `momentum` | Float(high=0.9, log=False, low=0.0, step=None) | with optimizer=sgd |"
        in said
    )
    assert "Every row and seed that was begun has all of its trainings." in said
    assert tuple(each.name for each in FIDELITIES) == make_curves.FIDELITIES

    curves = recorded_curves.read_curves(table)
    assert curves.epochs == 2
    assert curves.baseline == recording.trainings[0]["params"]
    assert curves.nearest(second[0]["params"]) == 1
    assert curves.metrics(1, 2).train_loss is None
    assert curves.nearest(curves.baseline | {"lr": 2.1e-3}) == 0
    assert curves.val[0] == pytest.approx(recording.trainings[0]["curves"]["val_top1"], rel=1e-6)
    with quiet_optuna():
        policy = policies.gaussian_process_asha(curves, rules(2, grace=1), seed=0)
        trace = simulate(policy, curves, workers=2, epochs=30)
    assert trace.events[0].row == 0
    asked = [record.params for record in policy.records.values()]
    assert asked[0] == curves.baseline
    assert {("momentum" in params) == (params["optimizer"] == "sgd") for params in asked} == {True}
    assert {params["optimizer"] for params in asked} == {"sgd", "adamw"}


def test_other_options_than_before_are_refused(tiny_space, tiny_zip, tmp_path, monkeypatch):
    out = tmp_path / "tiny.jsonl"
    monkeypatch.setattr(record_curves, "_record", lambda *_: None)
    record_curves.benchmark(command(tiny_space, tiny_zip, out, "--rows", "2"))
    record_curves.benchmark(command(tiny_space, tiny_zip, out, "--rows", "3"))
    with pytest.raises(BenchmarkError, match="differs in ranges, conditions"):
        record_curves.benchmark(command(tiny_space, tiny_zip, out, "--fix", 'optimizer="adamw"'))
    with pytest.raises(BenchmarkError, match="needs images"):
        record_curves.benchmark([str(tiny_space), "--out", str(out)])


def test_a_recording_of_before_a_field_existed_goes_on(tiny_space, tiny_zip, tmp_path, monkeypatch):
    out = tmp_path / "tiny.jsonl"
    monkeypatch.setattr(record_curves, "_record", lambda *_: None)
    record_curves.benchmark(command(tiny_space, tiny_zip, out, "--rows", "2"))
    header = json.loads(out.read_text(encoding="utf-8"))
    del header["baseline"]["deterministic"]
    out.write_text(json.dumps(header) + "\n", encoding="utf-8")
    record_curves.benchmark(command(tiny_space, tiny_zip, out, "--rows", "2"))
    header["baseline"]["lr"] *= 2
    out.write_text(json.dumps(header) + "\n", encoding="utf-8")
    with pytest.raises(BenchmarkError, match="differs in baseline;"):
        record_curves.benchmark(command(tiny_space, tiny_zip, out, "--rows", "2"))
