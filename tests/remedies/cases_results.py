"""Errors about the records of runs and of final trainings."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from results.records import FinalistRecord, TrialState
from results.side_store import FINALIST_FILES, SideStore
from results.store import (
    BEST,
    EPOCHS,
    FINALIST_EPOCHS,
    MANIFEST,
    TRIALS,
    RunStore,
    read_manifest,
    read_trials,
)
from search.session.backup import ARCHIVE, pack
from search.session.checks import check_writable, read_writable
from tests.remedies.harness import Command, Refusal, Steps, case
from tests.remedies.searches import copy_run, plan_search

STORE, LINES = "results/store.py", "results/jsonl.py"
OLDER = Path(__file__).parents[1] / "search" / "session" / "run_of_1ba3fe8"


def export(run: Path, *more: object) -> Command:
    return Command("results.export", run, *more)


def edit(path: Path, change: Callable[[list[str]], object]) -> str:
    """Changes the list of a file's lines in place, and returns the text of before."""
    before = path.read_text(encoding="utf-8")
    lines = before.splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines), encoding="utf-8")
    return before


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def restore(refusal: Refusal, copy: Path) -> None:
    """Restores the folder that a sentence names."""
    folder = Path(refusal.find(r"restore (\S+) from a copy of it"))
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)


MISPLACED = (f"{LINES}::read_lines", "is damaged, or not where it was written")


@case(*MISPLACED)
def a_changed_digit_in_a_line(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    edit(run / EPOCHS, lambda lines: lines.insert(4, lines.pop(4).replace("1", "2", 1)))
    refusal = yield export(run)
    assert "epochs.jsonl line 5 is" in refusal.text
    plan_search(tmp_path, refusal.find(r"another (--\w+)"), "second")()  # a new run
    restore(refusal, searched)


@case(*MISPLACED)
def a_line_that_is_missing(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    edit(run / TRIALS, lambda lines: lines.pop(3))
    refusal = yield lambda: read_writable(run)
    assert "trials.jsonl line 4 is" in refusal.text
    restore(refusal, searched)


@case(*MISPLACED)
def a_line_of_no_object_in_an_older_run(tmp_path: Path) -> Steps:
    run = shutil.copytree(OLDER, tmp_path / "older")
    edit(run / TRIALS, lambda lines: lines.insert(0, "[]\n"))
    refusal = yield export(run)
    restore(refusal, OLDER)


@case(*MISPLACED)
def a_damaged_line_of_a_run_in_a_storage(tmp_path: Path, searched: Path) -> Steps:
    run, storage = copy_run(searched, tmp_path), tmp_path / "storage"
    store = RunStore(run)
    manifest = read_manifest(run)
    store.write_manifest(manifest | {"options": manifest["options"] | {"storage": str(storage)}})
    store.close()
    (storage / "first").mkdir(parents=True)
    pack(run).rename(storage / "first" / ARCHIVE)
    edit(run / EPOCHS, lambda lines: lines.pop(1))
    refusal = yield export(run)
    Path(refusal.find(r"move (\S+) away")).rename(tmp_path / "away")
    refusal.command().add("--dry-run")()


@case(f"{LINES}::read_lines", "lines that the manifest counts")
def lines_that_are_missing_at_the_end(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    edit(run / TRIALS, lambda lines: lines.__delitem__(slice(-2, None)))
    refusal = yield export(run)
    restore(refusal, searched)


@case(f"{LINES}::read_records", "is damaged", f"{LINES}::read_whole_number", "a whole number")
def a_line_without_the_number_of_its_trial(tmp_path: Path) -> Steps:
    run = shutil.copytree(OLDER, tmp_path / "older")
    edit(run / EPOCHS, lambda lines: lines.insert(2, '{"trial":"x"}\n'))
    refusal = yield export(run)
    restore(refusal, OLDER)


@case(f"{LINES}::read_records", "is damaged",
      "results/side_store.py::_name", "RecordError(str(error))")  # fmt: skip
def an_epoch_of_no_repeat(tmp_path: Path) -> Steps:
    run = shutil.copytree(OLDER, tmp_path / "older")
    (run / FINALIST_EPOCHS).write_text('{"trial":7,"repeat":-1}\n', encoding="utf-8")
    refusal = yield lambda: list(FINALIST_FILES.read_epochs(run))
    restore(refusal, OLDER)


@case(f"{LINES}::check_regular", "must be a file, but is")
def a_pipe_in_the_place_of_records(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    for name in (EPOCHS, MANIFEST):
        (run / name).unlink()
        os.mkfifo(run / name)
    refusal = yield export(run)
    assert f"{run / MANIFEST} must be a file, but is a pipe" in refusal.text
    restore(refusal, searched)


@case(f"{LINES}::check_regular", "must be a file, but is")
def a_folder_in_the_place_of_the_best(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    (run / BEST).mkdir()
    refusal = yield lambda: read_writable(run)
    Path(refusal.find(r"(\S+) must be a file, but is a folder; move it")).rename(tmp_path / "away")


SET = "results/analysis/run_records.py"


def without_counts(run: Path) -> None:
    """Takes the counts of lines out of a manifest, as if the first session had been killed."""
    store = RunStore(run)
    manifest = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
    store.close()
    del manifest["sha256"]
    manifest["chain"]["files"] = {}
    (run / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


@case(f"{SET}::_group_epochs", "_missing", f"{SET}::_missing", "must have a line on")
def epochs_without_their_trial(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    without_counts(run)
    edit(run / TRIALS, lambda lines: lines.__delitem__(slice(2, None)))
    refusal = yield export(run)
    restore(refusal, searched)


@case(f"{SET}::read_run_records", "_missing", f"{SET}::_missing", "must have a line on")
def a_finalist_without_its_trial(tmp_path: Path) -> Steps:
    run = shutil.copytree(OLDER, tmp_path / "older")
    config = read_trials(run)[0].config
    store = SideStore(FINALIST_FILES, run)
    store.add(FinalistRecord(trial=9, repeat=1, state=TrialState.RUNNING, config=config))
    store.close()
    refusal = yield export(run)
    restore(refusal, OLDER)


@case(f"{SET}::_group_epochs", "must be epoch")
def an_epoch_that_is_missing_in_an_older_run(tmp_path: Path) -> Steps:
    run = shutil.copytree(OLDER, tmp_path / "older")
    edit(run / EPOCHS, lambda lines: lines.pop(0))
    refusal = yield export(run)
    restore(refusal, OLDER)


@case(f"{SET}::_group_epochs", "with which")
def fewer_epochs_than_an_ending_has(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    without_counts(run)
    edit(run / EPOCHS, list.pop)
    refusal = yield export(run)
    restore(refusal, searched)


@case(f"{STORE}::read_manifest", "is not a run")
def a_misspelt_run(searched: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    command = export(searched.parent / "frist", "--to", "best.yaml")
    monkeypatch.chdir(searched.parent)
    refusal = yield command
    meant = refusal.find(r"did you mean (\S+)\?")
    return command.replace(searched.parent / "frist", meant)


@case(f"{STORE}::read_manifest", "is not a run")
def a_run_where_there_is_none(
    tmp_path: Path, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    monkeypatch.chdir(tmp_path)
    refusal = yield export(Path("runs/first"))
    refusal.command().add("--dry-run", "--name", "first")()
    copy_run(searched, tmp_path / "runs")  # in place of the search


DAMAGED = (f"{STORE}::_damage_error", "is damaged")


@case(f"{STORE}::read_manifest", "_damage_error(directory, str(error))", *DAMAGED)
def a_manifest_that_is_cut_short(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    edit(run / MANIFEST, list.pop)
    yield export(run)
    shutil.copy(searched / MANIFEST, run)


@case(f"{STORE}::read_manifest", "it has no schema_version", *DAMAGED)
def a_manifest_of_something_else(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    (run / MANIFEST).write_text("[]", encoding="utf-8")
    yield export(run)
    shutil.copy(searched / MANIFEST, run)


@case(f"{STORE}::read_manifest", "is not as it was written")
def a_run_whose_manifest_was_edited(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    text = (run / MANIFEST).read_text(encoding="utf-8")
    (run / MANIFEST).write_text(text.replace('"demo"', '"mine"'), encoding="utf-8")
    refusal = yield export(run)
    seal = refusal.find(r"remove its entry (\w+) if")
    edit(run / MANIFEST, lambda lines: lines.pop([seal in each for each in lines].index(True)))


@case(f"{STORE}::read_manifest", "must have schema_version",
      beyond="there is no other version of the project")  # fmt: skip
def a_manifest_of_another_version_of_a_run(tmp_path: Path) -> Steps:
    (tmp_path / MANIFEST).write_text('{"schema_version": 99}', encoding="utf-8")
    refusal = yield export(tmp_path)
    assert "read it with the version of this project that wrote it" in refusal.text


@case(f"{STORE}::lock_run", "wait for it, or begin")
def a_run_that_another_process_writes(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    other = RunStore(run)
    refusal = yield lambda: RunStore(run).close()
    option = refusal.find(r"under another (--\w+)")
    plan_search(tmp_path, option, "second")()
    check_writable(tmp_path / "second")
    other.close()  # wait for it


@case("search/session/checks.py::check_writable", "make it writable, or choose")
def a_file_in_the_place_of_the_runs(tmp_path: Path) -> Steps:
    (tmp_path / "runs").touch()
    refusal = yield lambda: check_writable(tmp_path / "runs" / "first")
    option = refusal.find(r"another folder with (--\w+)")
    plan_search(tmp_path).replace(tmp_path, tmp_path / "others").add(option, tmp_path / "others")()
    return lambda: check_writable(tmp_path / "others" / "first")


@case(f"{STORE}::create", "already holds a run")
def a_name_that_is_taken_meanwhile(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    refusal = yield lambda: RunStore.create(run, {}).close()
    refusal.command().add("--dry-run")()
    return lambda: RunStore.create(run.with_name("second"), {}).close()
