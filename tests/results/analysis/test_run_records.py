"""The files of a run vouch for each other, also while another process writes them."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import RecordError
from results.analysis.run_records import read_run_records
from results.records import TrialRecord, TrialState
from results.store import EPOCHS, TRIALS, RunStore, read_manifest
from tests.search.study_on_curves import metrics

WRITER = """
import sys
from pathlib import Path
from tests.results.analysis.test_run_records import write_trials
write_trials(Path(sys.argv[1]), 60)
"""


def write_trials(run: Path, trials: int) -> None:
    """Writes a run as a search does: a trial, its epochs, its ending."""
    store = RunStore.create(run, {"name": run.name})
    for number in range(trials):
        record = TrialRecord(number=number, state=TrialState.RUNNING, params={}, config={"a": 1})
        store.add_trial(record)
        epochs = [metrics(epoch, 0.1 * epoch) for epoch in (1, 2, 3)]
        for each in epochs:
            store.add_epoch(number, each)
        store.add_trial(replace(record.reached(epochs), state=TrialState.COMPLETE))
    store.write_manifest({"name": run.name})
    store.close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_trials(tmp_path / "run", 3)
    return tmp_path / "run"


def rewrite(path: Path, *order: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[number] for number in order))


def uncount(run: Path) -> None:
    """Leaves a manifest as a first session that was killed leaves it."""
    store = RunStore(run)
    store.files.close()
    store.write_manifest({"name": run.name})
    store.close()


def test_a_manifest_counts_the_lines(run: Path) -> None:
    counts = read_manifest(run)["chain"]["files"]
    assert {name: each["lines"] for name, each in counts.items()} == {EPOCHS: 9, TRIALS: 6}
    rewrite(run / EPOCHS, *range(8))
    with pytest.raises(RecordError, match=r"epochs\.jsonl must have the 9 lines .* but has 8"):
        read_run_records(run)


def test_lines_behind_the_count_are_as_good(run: Path) -> None:
    store = RunStore(run)
    store.add_epoch(2, metrics(4, 0.5))
    store.close()
    with pytest.raises(RecordError, match=r"must have the 3 epochs of trial 2 .* but has 4"):
        read_run_records(run)
    rewrite(run / EPOCHS, *range(9))
    assert read_run_records(run).standings()[2].epochs == 3


def test_an_ending_proves_its_epochs(run: Path) -> None:
    uncount(run)
    rewrite(run / EPOCHS, *range(8))
    with pytest.raises(RecordError, match=r"must have the 3 epochs of trial 2 .* but has 2"):
        read_run_records(run)
    rewrite(run / TRIALS, *range(5))  # the ending is lost too: an earlier moment
    records = read_run_records(run)
    assert (records.trials[2].state, len(records.epochs[2])) == (TrialState.RUNNING, 2)


def test_an_epoch_proves_its_trial(run: Path) -> None:
    uncount(run)
    rewrite(run / TRIALS, *range(4))
    with pytest.raises(RecordError, match=r"trials\.jsonl must have a line on trial 2, which ep"):
        read_run_records(run)


def test_a_run_is_read_while_another_process_writes_it(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "run")])
    seen = list[int]()
    deadline = time.monotonic() + 60
    while writer.poll() is None and time.monotonic() < deadline:
        if (tmp_path / "run" / "manifest.json").exists():
            records = read_run_records(tmp_path / "run")
            ended = [r for r in records.trials.values() if r.state is TrialState.COMPLETE]
            assert all(len(records.epochs[record.number]) == 3 for record in ended)
            seen.append(len(records.recorded))
    assert writer.wait() == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    assert len(read_run_records(tmp_path / "run").recorded) == 180
