"""Runs whose folder is copied and gone on with there, and runs that two searches want."""

import shutil
from pathlib import Path

import pytest

from results.store import RunStore, read_epochs, read_trials
from search.hardware import probe
from search.run import main
from search.study.study import Study
from tests.search.session_on_curves import opened, planned, search
from tests.search.study.test_study import frozen
from tests.search.study_on_curves import curve, open_study
from trainables.config import TrialConfig

pytestmark = pytest.mark.usefixtures("plan_quickly")

TRIALS = 12


def ends(study: Study[TrialConfig]) -> dict[int, object]:
    return {n: (r.params, r.state, r.epochs, r.best_val_top1) for n, r in study.records.items()}


@pytest.mark.parametrize("name", ["run", "another"])
def test_a_copy_in_another_place_goes_on_to_the_same_and_leaves_the_first_alone(
    tmp_path: Path, tiny_data: Path, name: str
) -> None:
    whole = search(planned(tmp_path / "whole", tiny_data, {}, name="run", trials=TRIALS))
    plan = planned(tmp_path / "first", tiny_data, {}, name="run", trials=TRIALS)
    search(plan, epochs=25)
    (plan.directory / "checkpoints").mkdir()
    (plan.directory / "checkpoints" / "0003.pt").touch()
    before = {path.name: path.read_bytes() for path in plan.directory.iterdir() if path.is_file()}
    shutil.copytree(plan.directory, tmp_path / "other" / name)
    there = {"out": str(tmp_path / "other"), "name": name}  # as `--resume` has it
    copy = planned(tmp_path / "other", tiny_data, there, name=name, trials=TRIALS)
    assert ends(search(copy)) == ends(whole)
    assert [t.params for t in frozen(copy.directory, "run")] == [
        t.params for t in frozen(tmp_path / "whole" / "run")
    ]
    assert before == {
        path.name: path.read_bytes() for path in plan.directory.iterdir() if path.is_file()
    }


def test_data_elsewhere_too_is_named_when_the_copy_goes_on(tmp_path: Path, tiny_data: Path) -> None:
    plan = planned(tmp_path / "first", tiny_data, {}, name="run", trials=TRIALS)
    search(plan, epochs=25)
    shutil.copytree(plan.directory, tmp_path / "other" / "run")
    shutil.copytree(tiny_data, tmp_path / "data" / "tiny-imagenet")
    moved = {"out": str(tmp_path / "other"), "data": str(tmp_path / "data")}
    session = opened(planned(tmp_path / "other", tiny_data, moved, name="run", trials=TRIALS))
    session.close()
    assert len(session.study.records) == len(read_trials(plan.directory)) > 1
    assert list(read_epochs(tmp_path / "other" / "run")) == list(read_epochs(plan.directory))


def test_a_run_that_another_search_writes_is_refused_before_anything_starts(
    tmp_path: Path,
    tiny_data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To go on with it, and to begin another of its name before its manifest is there."""
    monkeypatch.setattr(probe.TorchProcess, "submit", None)
    plan = planned(tmp_path, tiny_data, {}, name="run", trials=TRIALS)
    session = opened(plan)
    assert main(["--resume", "run", "--out", str(tmp_path)]) == 2
    refused = capsys.readouterr().err
    session.close()
    store = RunStore(tmp_path / "new")
    words = ["--space", "demo", "--name", "new", "--out", str(tmp_path)]
    assert main(words) == 2
    refused += capsys.readouterr().err
    store.close()
    said = (
        "is being written by another process; wait for it, or begin a new run under another --name."
    )
    assert refused.splitlines() == [f"error: {tmp_path / name} {said}" for name in ("run", "new")]


def test_a_folder_that_can_t_be_written_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe.TorchProcess, "submit", None)
    (tmp_path / "file").touch()
    assert main(["--space", "demo", "--name", "x", "--out", str(tmp_path / "file")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.endswith("file isn't; make it writable, or choose another folder with --out.")


def test_a_torn_line_of_the_journal_is_cut_off(tmp_path: Path) -> None:
    """Optuna would write its next line behind it, and could read neither."""
    study = open_study(tmp_path / "run", trials=2)
    proposal = study.ask()
    assert proposal is not None
    study.report(0, curve(proposal.config)[0])
    study.store.close()  # type: ignore[attr-defined]
    journal = tmp_path / "run" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-9])  # of the epoch, which the records have
    again = open_study(tmp_path / "run", trials=2)
    assert journal.read_bytes().startswith(whole[: whole[:-1].rfind(b"\n") + 1])
    while (proposal := again.ask()) is not None:
        for epoch in curve(proposal.config)[proposal.epochs_done :]:
            if again.report(proposal.number, epoch):
                break
    told = frozen(tmp_path / "run")
    assert [len(t.intermediate_values) for t in told] == [r.epochs for r in again.records.values()]
