"""Errors about the records of runs and of final trainings."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from results.finalist_store import FINALIST_EPOCHS, FinalistStore, read_finalist_epochs
from results.jsonl import seal_line
from results.records import TrainingId, TrialState
from results.store import EPOCHS, MANIFEST, TRIALS, RunStore, check_writable, read_trials
from tests.remedies.harness import Command, Steps, case
from tests.remedies.searches import copy_run, plan_search
from tests.search.session_on_curves import opened, planned
from tests.search.study_on_curves import metrics

STORE, LINES = "results/store.py", "results/jsonl.py"


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


def remove_line(text: str) -> None:
    """Removes the line that a sentence names."""
    words = text.removeprefix("error: ").split()
    assert words[1] == "line"
    assert "remove the line" in text
    edit(Path(words[0]), lambda lines: lines.pop(int(words[2]) - 1))


@case(f"{LINES}::read_lines", "is damaged; restore")
def a_changed_digit_in_a_line(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    before = edit(run / EPOCHS, lambda lines: lines.insert(4, lines.pop(4).replace("1", "2", 1)))
    refusal = yield export(run)
    remove_line(refusal.text)
    export(run)()
    changes = {"out": str(tmp_path)}
    opened(planned(tmp_path, tiny_data, changes, name="first", trials=6)).close()
    (run / EPOCHS).write_text(before, encoding="utf-8")  # from a copy


@case(f"{LINES}::read_lines", "is damaged; restore")
def a_damaged_ending_of_a_trial(tmp_path: Path, searched: Path, tiny_data: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    before = read_trials(run)
    last = max(n for n, line in enumerate(lines_of(run / TRIALS)) if '"number":1,' in line)
    edit(run / TRIALS, lambda lines: lines.insert(last, lines.pop(last).replace("1", "2", 1)))
    refusal = yield export(run)
    remove_line(refusal.text)
    assert read_trials(run)[1].state is TrialState.RUNNING
    changes = {"out": str(tmp_path)}
    opened(planned(tmp_path, tiny_data, changes, name="first", trials=6)).close()
    assert read_trials(run) == before  # its epochs say how it ended


@case(f"{LINES}::read_lines", "is damaged; restore")
def a_damaged_record_of_a_trial(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    rest = [line for line in lines_of(run / TRIALS) if '"number":1,' not in line]
    (run / TRIALS).write_text("".join(["{?}\n", *rest]), encoding="utf-8")
    refusal = yield export(run)
    remove_line(refusal.text)
    words = ("--policy", "random", "--budget", 1, "--seeds", 1, "--grace", 1)
    Command("search.simulate", run, *words)()
    return Command("results.importance", run)


@case(f"{LINES}::read_lines", "must be an object; remove the line")
def a_line_that_is_no_object(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    edit(run / TRIALS, lambda lines: lines.insert(0, "[]\n"))
    refusal = yield export(run)
    remove_line(refusal.text)


@case(f"{LINES}::read_records", "is damaged", f"{LINES}::read_whole_number", "a whole number")
def a_line_without_the_number_of_its_trial(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    edit(run / EPOCHS, lambda lines: lines.insert(2, seal_line('{"trial":"x"}') + "\n"))
    refusal = yield export(run)
    remove_line(refusal.text)


@case(f"{LINES}::read_records", "is damaged",
      "results/finalist_store.py::_read_training", "RecordError(str(error))")  # fmt: skip
def an_epoch_of_no_repeat(tmp_path: Path) -> Steps:
    store = FinalistStore(tmp_path)
    store.add_epoch(TrainingId(7, 2), metrics(1, 0.25))
    store.close()
    path = tmp_path / FINALIST_EPOCHS
    edit(path, lambda lines: lines.append(seal_line('{"trial":7,"repeat":-1}') + "\n"))
    refusal = yield lambda: list(read_finalist_epochs(tmp_path))
    remove_line(refusal.text)


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


DAMAGED = (f"{STORE}::_damage_error", "restore it from a copy")


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


@case(f"{STORE}::_locked", "wait for it, or begin")
def a_run_that_another_process_writes(tmp_path: Path, searched: Path) -> Steps:
    run = copy_run(searched, tmp_path)
    other = RunStore(run)
    refusal = yield lambda: RunStore(run).close()
    option = refusal.find(r"under another (--\w+)")
    plan_search(tmp_path, option, "second")()
    check_writable(tmp_path / "second")
    other.close()  # wait for it


@case(f"{STORE}::check_writable", "make it writable, or choose")
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
