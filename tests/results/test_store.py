import json
import os
from dataclasses import replace

import pytest

from common.errors import RecordError
from common.files import write_text_atomically
from results.analysis.run_records import read_run_records
from results.records import StopReason, TrialRecord, TrialState
from results.store import (
    RunError,
    RunStore,
    read_epochs,
    read_manifest,
    read_trials,
)
from tests.search.study_on_curves import metrics

RUNNING = TrialRecord(number=0, state=TrialState.RUNNING, params={"lr": 0.1}, config={"lr": 0.1})
ENDED = replace(RUNNING, state=TrialState.STOPPED, reason=StopReason.RUNG, best_val_top1=0.5)


def test_what_is_written_is_read_back_equal(tmp_path):
    store = RunStore(tmp_path / "run")
    store.add_trial(RUNNING)
    store.add_epoch(0, metrics(1, 0.25))
    store.add_epoch(0, metrics(2, 0.5, loss=None))
    store.add_trial(ENDED)
    store.close()
    assert read_trials(tmp_path / "run") == {0: ENDED}
    assert list(read_epochs(tmp_path / "run")) == [
        (0, metrics(1, 0.25)),
        (0, metrics(2, 0.5, loss=None)),
    ]


def test_an_unfinished_trial_stands_where_its_epochs_are(tmp_path):
    store = RunStore.create(tmp_path / "run", {"name": "run"})
    store.add_trial(RUNNING)
    for epoch, value in enumerate([0.3, 0.6, 0.5], 1):
        store.add_epoch(0, metrics(epoch, value))
    record = read_run_records(tmp_path / "run").standings()[0]
    assert (record.epochs, record.best_epoch, record.best_val_top1) == (3, 2, 0.6)
    assert record.wall_s == pytest.approx(4.5)


def test_a_torn_line_is_invisible_to_readers_and_cut_off_by_the_next_writer(tmp_path):
    store = RunStore(tmp_path / "run")
    store.add_epoch(0, metrics(1, 0.25))
    store.close()
    path = tmp_path / "run" / "epochs.jsonl"
    path.write_bytes(path.read_bytes() + b'{"trial":0,"epo')
    assert len(list(read_epochs(tmp_path / "run"))) == 1
    again = RunStore(tmp_path / "run")
    again.add_epoch(0, metrics(2, 0.5))
    again.close()
    assert [m.epoch for _, m in read_epochs(tmp_path / "run")] == [1, 2]


def test_a_damaged_line_is_named(tmp_path):
    store = RunStore(tmp_path / "run")
    store.add_epoch(0, metrics(1, 0.25))
    store.add_epoch(0, metrics(2, 0.25))
    store.close()
    path = tmp_path / "run" / "epochs.jsonl"
    path.write_text(
        path.read_text(encoding="utf-8")
        .replace('"epoch":1', '"ep\x00och":1', 1)
        .replace("{", "", 1),
        encoding="utf-8",
    )
    with pytest.raises(RecordError, match=r"epochs\.jsonl line 1 is damaged"):
        list(read_epochs(tmp_path / "run"))


def test_a_record_without_a_field_is_refused(tmp_path):
    (tmp_path / "trials.jsonl").write_text('{"number": 1, "state": "running"}\n', encoding="utf-8")
    with pytest.raises(RecordError, match="params"):
        read_trials(tmp_path)
    (tmp_path / "trials.jsonl").write_text(
        json.dumps({"number": 1, "state": "asleep", "params": {}, "config": {}}) + "\n",
        encoding="utf-8",
    )
    with pytest.raises(RecordError, match="asleep"):
        read_trials(tmp_path)


def test_one_process_writes_a_run_at_a_time(tmp_path):
    first = RunStore(tmp_path / "run")
    with pytest.raises(RunError, match="being written by another process"):
        RunStore(tmp_path / "run")
    first.close()
    RunStore(tmp_path / "run").close()


def test_a_run_is_not_made_twice(tmp_path):
    RunStore.create(tmp_path / "run", {"name": "run"}).close()
    with pytest.raises(RunError, match="--resume run"):
        RunStore.create(tmp_path / "run", {"name": "other"})
    assert read_manifest(tmp_path / "run")["name"] == "run"
    RunStore(tmp_path / "run").close()  # the refusal gave the lock back


def test_a_manifest_of_another_version_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not a run"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema_version": 99}', encoding="utf-8")
    with pytest.raises(RunError, match="must have schema_version 1, but has 99"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema', encoding="utf-8")
    with pytest.raises(RunError, match="damaged"):
        read_manifest(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "best.yaml"
    write_text_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_are_not_finite_never_reach_the_disk(tmp_path):
    store = RunStore(tmp_path / "run")
    with pytest.raises(ValueError, match="JSON compliant"):
        store.add_epoch(0, metrics(1, float("nan")))
    store.close()
    assert (tmp_path / "run" / "epochs.jsonl").read_text(encoding="utf-8") == ""


@pytest.mark.timeout(20)
def test_tracebacks_follow_each_other_and_take_the_place_of_a_pipe(tmp_path):
    store = RunStore.create(tmp_path / "run", {"name": "run"})
    tracebacks = read_run_records(tmp_path / "run").traceback
    store.add_error(0, "first")
    store.add_error(0, "second")
    assert tracebacks(0) == "first\nsecond"
    assert tracebacks(1) is None
    os.mkfifo(tmp_path / "run" / "errors" / "0001.txt")
    store.add_error(1, "third")
    assert tracebacks(1) == "third"
    store.close()
