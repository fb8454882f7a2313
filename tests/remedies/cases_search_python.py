"""Errors of searches and final trainings that a program in Python runs."""

import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.cli import INTERRUPTED
from search import Result, Search, spaces
from search.session.api import search as api
from search.session.api.host import check_host
from search.spaces.demo import SPACE
from tests.remedies.cases_trainables_final import make_run
from tests.remedies.harness import Attempt, Steps, case
from tests.remedies.searches import copy_run, plan_search, resume
from trainables.final import train_final

API, FINAL = "search/session/api/search.py", "trainables/final.py"


def plan(tmp_path: Path, **options: Any) -> Attempt:
    """Returns an attempt that plans a search in Python, with its runs in `tmp_path`."""
    usual: dict[str, Any] = {"space": "demo", "data": tmp_path / "data", "out": tmp_path}
    return lambda: Search(**usual | options).dry_run()


@case("search/session/api/options.py::check_options", "show must be")
def a_search_that_shows_what_there_is_not(tmp_path: Path) -> Steps:
    refusal = yield plan(tmp_path, show="tabel")
    return plan(tmp_path, show=refusal.find("show must be '([^']+)'"))


@case("search/session/api/request.py::open_plan", "OptionsError(errors)")
def a_dataset_that_only_the_plan_finds_missing(tmp_path: Path) -> Steps:
    refusal = yield plan_search(tmp_path, "--dataset", "dmeo")
    return plan(tmp_path, dataset=refusal.find(r"did you mean (\w+)"))


@case("search/session/api/request.py::open_plan", "OptionsError([*faults, *error.errors])")
def a_file_of_options_that_is_not_there(tmp_path: Path) -> Steps:
    command = plan_search(tmp_path, "--config", tmp_path / "run.yaml")
    refusal = yield command
    Path(refusal.find(r"--config (\S+) can't be read")).write_text("trials: 3\n", encoding="utf-8")
    return command


@case(
    "search/session/api/host.py::check_host", "must start Ray itself",
    "search/session/api/host.py::check_host", "SearchError(errors)",
)  # fmt: skip
def a_ray_that_runs_already(monkeypatch: pytest.MonkeyPatch) -> Steps:
    running = [True]
    ray = SimpleNamespace(is_initialized=lambda: running[0], shutdown=running.clear)
    ray.is_initialized = lambda: bool(running)
    monkeypatch.setitem(sys.modules, "ray", ray)
    refusal = yield check_host
    assert refusal.find(r"call (\S+) first") == "ray.shutdown()"
    ray.shutdown()
    return check_host


@case("search/session/api/host.py::check_host", "must run in the main thread")
def a_search_in_another_thread() -> Steps:
    def attempt() -> None:
        raised: list[Exception] = []

        def call() -> None:
            try:
                check_host()
            except Exception as error:
                raised.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        raise raised[0]

    refusal = yield attempt
    assert "call it there" in refusal.text
    return check_host


@case(f"{API}::result", "must have begun")
def a_result_of_nothing(tmp_path: Path, searched: Path) -> Steps:
    search = Search("demo", out=tmp_path)
    refusal = yield lambda: search.result
    assert "call run() first" in refusal.text
    return lambda: Result(copy_run(searched, tmp_path)).best


def stopping(monkeypatch: pytest.MonkeyPatch, end: Any) -> None:
    """Has the next search end as `end` makes it, which gets what `execute` gets."""

    def execute(plan: Any, monitor: Any, **more: Any) -> int:
        monkeypatch.undo()
        return int(end(monitor, more["leave"]))

    monkeypatch.setattr(api, "execute", execute)


@case(f"{API}::run", "must be able to go on to its end")
def a_search_that_an_error_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    def end(monitor: Any, _leave: Any) -> int:
        monitor.warn("error: the search stopped: no space left on the disk")
        return INTERRUPTED

    stopping(monkeypatch, end)
    refusal = yield lambda: Search("demo", out=tmp_path, name="a").run()
    assert "stopped: no space left on the disk; once that is mended" in refusal.text
    assert refusal.find(r"go on with Search.resume\('(\S+)'\)") == str(tmp_path / "a")
    return plan(tmp_path, name="a")


@case(f"{API}::leave_search", "Ray must live", beyond="Ray has to die: search_with_failures")
def a_ray_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    stopping(monkeypatch, lambda _monitor, leave: leave(INTERRUPTED))
    refusal = yield lambda: Search("demo", out=tmp_path, name="a").run()
    assert "Search.resume(" in refusal.text
    return None


@case("search/spaces/__init__.py::_find_object", "Space object")
def a_run_whose_space_was_an_object(
    tmp_path: Path, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> Steps:
    run = copy_run(searched, tmp_path)
    monkeypatch.setattr(spaces, "_objects", [])
    refusal = yield resume(run, "--space", spaces.OBJECT)
    assert "name that" in refusal.text
    file = tmp_path / "own.py"
    file.write_text("from search.spaces.demo import SPACE\n", encoding="utf-8")
    space = replace(SPACE, summary="mine")
    Search.resume(run, space=space).dry_run()
    return resume(run, "--space", file)


@case(
    f"{FINAL}::_options_of", "is not an option of final training",
    f"{FINAL}::_options_of", "must be as the command line has it",
    f"{FINAL}::_options_of", "UserError(errors)",
)  # fmt: skip
def options_of_final_training_that_are_wrong(tmp_path: Path) -> Steps:
    best = make_run(tmp_path)
    refusal = yield lambda: train_final(best, {"epoch": 1, "repeats": 0})
    right = {refusal.find(r"did you mean (\w+)"): 1}
    assert "repeats must be as the command line has it, but got 0: must be ≥ 1" in refusal.text
    from trainables.final import _options_of

    return lambda: _options_of({"config": best, "repeats": 1, **right})
