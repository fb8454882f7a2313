"""A journal that doesn't follow the records is made anew, and the search decides as before."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.errors import RecordError
from results.analysis.run_records import read_run_records
from results.analysis.rung_values import read_proposals, trials_at_rungs
from results.store import RunError, read_manifest
from search.session.checks import read_writable
from tests.search.session_on_curves import opened, planned, search

pytestmark = pytest.mark.usefixtures("plan_quickly")

NOTE = "note: the Optuna journal didn't follow the run's records"


def plan(out: Path, data: Path, trials: int) -> Any:
    return planned(out, data, {"out": str(out), "trials": trials}, name="run", trials=trials)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path, plan_quickly: None) -> Path:
    """A run whose first session ended in order within its sixth trial or so."""
    folder = tmp_path_factory.mktemp("ended")
    search(plan(folder, tiny_data, 14), epochs=30)
    return folder / "run"


@pytest.fixture
def run(ended: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ended, tmp_path / "run"))


def outcome(run: Path) -> Any:
    records = read_run_records(run)
    return records.trials, sorted(records.recorded, key=lambda each: (each[0], each[1].epoch))


def lose(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))


def leave_empty_line(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [lose, cut, leave_empty_line, empty])
def test_a_search_goes_on_as_if_nothing_had_happened(
    run: Path,
    tmp_path: Path,
    tiny_data: Path,
    damage: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = tmp_path / "whole"
    search(plan(whole, tiny_data, 14))
    damage(run / "journal.log")
    with pytest.raises(RunError, match=r"by `python -m search\.run --resume run --out"):
        trials_at_rungs(run)
    capsys.readouterr()
    search(plan(tmp_path, tiny_data, 14))
    assert capsys.readouterr().out.count(NOTE) == 1
    assert outcome(run) == outcome(whole / "run")
    told, expected = (
        [(t.state, t.values, t.intermediate_values) for t in read_proposals(each).values()]
        for each in (run, whole / "run")
    )
    assert told == expected
    assert trials_at_rungs(run).keys() == trials_at_rungs(whole / "run").keys()
    opened(plan(tmp_path, tiny_data, 14)).close()
    assert NOTE not in capsys.readouterr().out


def test_a_journal_that_follows_is_left_alone(
    run: Path, tmp_path: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "journal.log").read_bytes()
    opened(plan(tmp_path, tiny_data, 14)).close()
    assert (run / "journal.log").read_bytes().startswith(before)
    assert NOTE not in capsys.readouterr().out


def test_a_run_is_extended_without_its_journal(run: Path, tmp_path: Path, tiny_data: Path) -> None:
    begun = len(read_run_records(run).trials)
    (run / "journal.log").unlink()
    changes = {"out": str(tmp_path), "epochs": 12, "trials": begun + 4}
    search(planned(tmp_path, tiny_data, changes, name="run", trials=14))
    last = read_manifest(run)["horizons"][-1]
    assert (last["first"], last["epochs"]) == (begun, 12)
    assert len(read_proposals(run)) == begun + 4


def test_a_pipe_in_the_place_of_the_journal_is_refused(run: Path) -> None:
    (run / "journal.log").unlink()
    os.mkfifo(run / "journal.log")
    with pytest.raises(RecordError, match=r"journal\.log must be a file, but is a pipe.*move it"):
        read_writable(run)
    with pytest.raises(RecordError, match=r"journal\.log must be a file, but is a pipe.*move it"):
        trials_at_rungs(run)
