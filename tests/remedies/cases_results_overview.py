"""Errors about lists of runs, leaderboards, notes and tags."""

import json
import os
import shlex
from pathlib import Path

import pytest

from results.live.serve import listen
from results.live.trial_page import trial_page
from results.overview.annotations import ANNOTATIONS, read_annotations
from results.overview.trial_log import append_log, log_path
from results.records import TrainingId
from results.store import read_manifest
from tests.remedies.cases_results_analysis import begin
from tests.remedies.harness import Command, Steps, case
from tests.results.example_search import six

NOTES = "results/overview/annotations.py"
SHOW = "results/show.py"


def show(run: Path, *more: object) -> Command:
    return Command("results.show", run, *more)


@case("results/runs.py::main", "must be a folder that holds runs")
def a_folder_of_runs_that_isnt_there(tmp_path: Path) -> Steps:
    run = six(tmp_path / "runs" / "first")
    refusal = yield Command("results.runs", tmp_path / "ruins")
    assert "the folder that --out names in searches" in refusal.text
    return refusal.attempt.replace(tmp_path / "ruins", run.parent)


@case(f"{SHOW}::main", "has no trial yet")
def a_leaderboard_before_the_first_trial(tmp_path: Path, tiny_data: Path) -> Steps:
    run, train = begin(tmp_path, tiny_data)
    refusal = yield show(run)
    refusal.command().add("--dry-run")()
    train()


@case(f"{SHOW}::main", "can't go with --csv")
def a_trial_as_comma_separated_values(tmp_path: Path) -> Steps:
    refusal = yield show(six(tmp_path / "run"), "--trial", 2, "--csv")
    return refusal.attempt.replace("--csv", refusal.find(r"use (--json)"))


@case(f"{SHOW}::main", "--log must go with --trial")
def a_log_of_no_trial(tmp_path: Path) -> Steps:
    run = six(tmp_path / "run")
    append_log(log_path(run, TrainingId(2)), b"a warning\n")
    refusal = yield show(run, "--log")
    return refusal.attempt.add(refusal.find(r"must go with (--trial)"), 2)


@case(f"{SHOW}::_show_trial", "must name a trial of the run")
def a_trial_that_the_run_lacks(tmp_path: Path) -> Steps:
    refusal = yield show(six(tmp_path / "run"), "--trial", 7)
    return refusal.attempt.replace(7, refusal.find(r"has 0…(\d)"))


COLUMNS = "results/overview/leaderboard_table.py::choose_columns"


@case(COLUMNS, "must name columns", COLUMNS, "RunError(errors)")
def columns_that_no_trial_has(tmp_path: Path) -> Steps:
    refusal = yield show(six(tmp_path / "run"), "--columns", "trial,xyz")
    names = refusal.find(r"the columns are ([^.]*)\.").split(", ")
    return refusal.attempt.replace("trial,xyz", ",".join(names[:3]))


ANNOTATE = f"{NOTES}::annotate"


@case(ANNOTATE, "a tag must have", ANNOTATE, "AnnotationError(errors)")
def tags_with_blanks(tmp_path: Path) -> Steps:
    refusal = yield Command("results.annotate", six(tmp_path / "run"), "--tag", "with MixUp")
    assert "separate several tags by blanks" in refusal.text
    return refusal.attempt.without("--tag").add("--tag", "with", "MixUp")


@case(ANNOTATE, "--untag must name a tag")
def a_tag_that_the_run_lacks(tmp_path: Path) -> Steps:
    run = six(tmp_path / "run")
    Command("results.annotate", run, "--tag", "good")()
    refusal = yield Command("results.annotate", run, "--untag", "god")
    return refusal.attempt.replace("god", refusal.find(r"its tags are (\w+)\."))


@case(ANNOTATE, "a note must have at most")
def a_note_that_is_a_book(tmp_path: Path) -> Steps:
    run, book = six(tmp_path / "run"), "word " * 500
    refusal = yield Command("results.annotate", run, "--note", book)
    most = int(refusal.find(r"at most ([\d,]+)").replace(",", ""))
    return refusal.attempt.replace(book, book[:most])


@case(f"{NOTES}::read_annotations", "is damaged")
def a_damaged_note(tmp_path: Path) -> Steps:
    run = six(tmp_path / "run")
    (run / ANNOTATIONS).write_text(json.dumps({"tags": "x"}), encoding="utf-8")
    refusal = yield Command("results.annotate", run, "--tag", "x")
    Path(refusal.find(r"(\S+) is damaged")).unlink()
    anew = shlex.split(refusal.find(r"`python -m ([^`]*)`"))
    Command(anew[0], run, "--tag", "x")()
    assert read_annotations(run).tags == ["x"]


@case("results/report.py::main", "go with --serve")
def a_port_for_no_server(tmp_path: Path) -> Steps:
    refusal = yield Command("results.report", six(tmp_path / "run"), "--port", 8000)
    assert "leave them out" in refusal.text
    return refusal.attempt.without("--port")


@case("results/live/serve.py::listen", "must be free")
def a_port_that_is_taken() -> Steps:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        refusal = yield lambda: listen("127.0.0.1", port)
        assert "choose another one" in refusal.text
        listen("127.0.0.1", 0).close()
    return lambda: listen("127.0.0.1", port).close()


@case("results/live/trial_page.py::trial_page", "has no trial")
def a_page_of_a_trial_that_the_run_lacks(tmp_path: Path) -> Steps:
    run = six(tmp_path / "run")
    refusal = yield lambda: trial_page(run, 6)
    last = int(refusal.find(r"one of 0…(\d)"))
    return lambda: trial_page(run, last)


@case("results/jsonl.py::check_regular", "that you may read", beyond="root may read everything")
def a_run_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    run = six(tmp_path / "run")
    monkeypatch.setattr(os, "access", lambda *_: False)
    yield lambda: read_manifest(run)
    monkeypatch.undo()
    read_manifest(run)
    return None
