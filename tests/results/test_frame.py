"""Runs as pandas tables: what is in them, and that they are as documented whatever the run."""

import re
import shutil

import pandas as pd
import pytest

from common.errors import RecordError
from results import frame
from results.records import EpochMetrics, FinalistRecord, TrialRecord, TrialState
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunError, RunStore
from tests.results.example_run import add_finalist
from tests.results.example_search import SIX, six
from tests.search.study_on_curves import metrics

TABLES = {"trials": frame.trials, "epochs": frame.epochs, "finalists": frame.finalists}


def documented(table):
    """The columns and dtypes that the module's docstring names for a table."""
    part = frame.__doc__.split(f"\nThe table `{table}` has one row")[1].split("one row")[0]
    rows = re.findall(r"^    (\S+) +(\S+)", part, flags=re.MULTILINE)
    return {name: dtype for name, dtype in rows if name != "params.NAME"}


def begun(directory):
    """A run of which one trial trains its second epoch and another its first."""
    store = RunStore.create(directory, {"name": "begun"})
    for number in (1, 0):
        config = {"epochs": 3, "lr": 0.1}
        store.add_trial(
            TrialRecord(number=number, state=TrialState.RUNNING, params={"lr": 0.1}, config=config)
        )
    store.add_epoch(1, metrics(1, 0.25))
    store.close()
    return directory


def torn(directory):
    """A run whose writer was killed within its last lines."""
    for name in ("epochs.jsonl", "trials.jsonl"):
        with (directory / name).open("a", encoding="utf-8") as file:
            file.write('{"trial":5,"number":5,"epo')


def with_finalists(directory):
    """Two trainings of trial 2, one of which hasn't ended."""
    store = SideStore(FINALIST_FILES, directory)
    states = {1: TrialState.COMPLETE, 2: TrialState.RUNNING}
    for repeat, state in states.items():
        top1 = 0.5 if state is TrialState.COMPLETE else None
        config = {"epochs": 4, "seed": 70 + repeat}
        record = FinalistRecord(trial=2, repeat=repeat, state=state, config=config, val_top1=top1)
        add_finalist(store, record)
    store.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """By name; not to be written to."""
    folder = tmp_path_factory.mktemp("frames")
    begun(folder / "begun")
    RunStore.create(folder / "empty", {"name": "empty"}).close()
    six(folder / "six")
    for change in (torn, with_finalists):
        change(shutil.copytree(folder / "six", folder / change.__name__))
    return folder


@pytest.mark.parametrize("run", ["six", "begun", "empty", "torn", "with_finalists"])
@pytest.mark.parametrize("name", TABLES)
def test_columns_and_dtypes_are_the_documented_ones(name, run, runs):
    table = TABLES[name](runs / run)
    found = {column: str(dtype) for column, dtype in table.dtypes.items()}
    params = {column for column in found if column.startswith("params.")}
    assert {c: d for c, d in found.items() if c not in params} == documented(name)
    assert "object" not in found.values()
    assert isinstance(table.index, pd.RangeIndex)


def test_every_field_of_the_records_is_a_column_or_meant_to_be_none():
    kept = {"number": "trial", "config": None, "params": None, "gain": None}
    for record, columns in ((TrialRecord, frame.TRIALS), (EpochMetrics, frame.EPOCHS),
                            (FinalistRecord, frame.FINALISTS)):  # fmt: skip
        fields = {kept.get(name, name) for name in record.__dataclass_fields__} - {None}
        assert fields <= set(columns)


def test_a_row_a_trial_with_its_parameters_by_kind(runs):
    table = frame.trials(runs / "six")
    assert table["trial"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["state"].tolist() == [
        "complete", "stopped", "complete", "stopped", "failed", "stopped",
    ]  # fmt: skip
    assert table["reason"].dropna().tolist() == ["rung", "diverged", "rung"]
    assert table["best_val_top1"].round(2).fillna(0).tolist() == [0.35, 0.2, 0.55, 0.6, 0, 0.25]
    assert table["epochs_planned"].tolist() == [4] * 6
    params = table.filter(like="params.")
    assert {name[7:]: str(dtype) for name, dtype in params.dtypes.items()} == {
        "lr": "float64", "optimizer": "string", "freeze_depth": "Int64", "flip": "boolean",
        "momentum": "float64",
    }  # fmt: skip
    assert params["params.momentum"].isna().tolist() == ["momentum" not in m.params for m in SIX]


def test_parameters_of_several_kinds_are_text_and_whole_numbers_may_be_floats(tmp_path):
    store = RunStore.create(tmp_path / "run", {"name": "run"})
    for number, params in enumerate([{"a": 1, "b": None, "c": "x"}, {"a": 0.5, "c": 2}]):
        store.add_trial(
            TrialRecord(number=number, state=TrialState.RUNNING, params=params, config={})
        )
    store.close()
    table = frame.trials(tmp_path / "run")
    assert table["params.a"].tolist() == [1.0, 0.5]
    assert table["params.b"].isna().all()
    assert table["params.c"].tolist() == ["x", "2"]
    assert [str(table[f"params.{name}"].dtype) for name in "abc"] == ["float64", "string", "string"]


def test_unfinished_trials_stand_as_far_as_they_have_come(runs):
    table = frame.trials(runs / "begun")
    assert table[["trial", "state", "epochs"]].to_numpy().tolist() == [
        [0, "running", 0],
        [1, "running", 1],
    ]
    assert table["best_val_top1"].isna().tolist() == [True, False]


def test_epochs_join_the_trials(runs):
    run = runs / "six"
    table = frame.epochs(run).merge(frame.trials(run), on="trial", suffixes=("", "_trial"))
    assert len(table) == sum(len(made.values) for made in SIX)
    best = table[table["epoch"] == table["best_epoch"]]
    assert (best["val_top1"] == best["best_val_top1"]).all()
    assert len(best) == 5  # the sixth never ended an epoch


def test_what_is_not_finite_is_missing(tmp_path):
    store = RunStore.create(tmp_path / "run", {"name": "run"})
    store.add_trial(TrialRecord(number=0, state=TrialState.RUNNING, params={}, config={}))
    store.add_epoch(0, metrics(1, 0.5, loss=None))
    store.close()
    table = frame.epochs(str(tmp_path / "run"))
    assert table["train_loss"].isna().all()
    assert table.loc[0, ["trial", "epoch", "val_top1"]].tolist() == [0, 1, 0.5]


def test_a_row_a_training_of_a_finalist(runs):
    table = frame.finalists(runs / "with_finalists")
    assert table[["trial", "repeat", "seed"]].to_numpy().tolist() == [[2, 1, 71], [2, 2, 72]]
    assert table["val_top1"].fillna(0).tolist() == [0.5, 0]


@pytest.mark.parametrize(("name", "file"), [("trials", "trials.jsonl"), ("epochs", "epochs.jsonl")])
def test_a_damaged_line_is_named(name, file, runs, tmp_path):
    run = shutil.copytree(runs / "six", tmp_path / "run")
    first, second, *rest = (run / file).read_text(encoding="utf-8").splitlines(keepends=True)
    (run / file).write_text(
        "".join([first, second.replace("0.", "1.", 1), *rest]), encoding="utf-8"
    )
    with pytest.raises(RecordError, match=rf"{file} line 2 is damaged"):
        TABLES[name](run)


@pytest.mark.parametrize("name", TABLES)
def test_a_folder_without_a_run_is_no_empty_one(name, tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        TABLES[name](tmp_path)
