"""What a user's commands are told, and that they harm nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.errors import SearchError
from common.signals import Interruption
from results.export import export
from results.records import TrialRecord, TrialState
from search.config.options import ACTIONS, SearchOptions
from search.session.hooks.checks import HOOKS, check_hooks
from search.session.hooks.commands import LOG
from search.session.hooks.hooks import BestWatch, Hooks
from search.session.hooks.outcome import End
from tests.search.session.hooks.example_outcome import run
from tests.search.session_on_curves import opened, planned, search
from tests.search.study_on_curves import curve, open_study

KEYS = {
    "event", "name", "run", "space", "dataset", "trials", "trials_planned", "best",
    "baseline_val_top1", "resume_command", "outcome", "exit_code", "error", "best_file", "report",
    "schema_version",
}  # fmt: skip
VARIABLES = {
    f"SEARCH_{name}" for name in (
        "EVENT", "OUTCOME", "NAME", "RUN", "EXIT_CODE", "ERROR", "TRIALS", "TRIALS_PLANNED",
        "BEST_TRIAL", "BEST_VAL_TOP1", "BASELINE_VAL_TOP1", "BEST_FILE", "REPORT", "RESUME_COMMAND",
    )
}  # fmt: skip
"""The schema of version 1, which the guide documents: names may be added, none may change."""


@pytest.fixture
def told(tmp_path: Path) -> Callable[[], tuple[dict[str, Any], dict[str, str]]]:
    """Returns (JSON, variables) that `record_of` has written."""

    def read() -> tuple[dict[str, Any], dict[str, str]]:
        value = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
        lines = (tmp_path / "told.env").read_text(encoding="utf-8").split("\0")
        found = dict(line.split("=", 1) for line in lines if line.startswith("SEARCH_"))
        return value, found

    return read


def record_of(tmp_path: Path) -> str:
    """A command that writes down what it is told."""
    return f"cat > {tmp_path}/told.json; env -0 > {tmp_path}/told.env; echo said"


def test_the_schema_is_what_the_guide_says(
    tmp_path: Path, told: Callable[[], tuple[dict[str, Any], dict[str, str]]]
) -> None:
    assert run(record_of(tmp_path), tmp_path / LOG) is None
    value, variables = told()
    assert value.keys() == KEYS
    assert variables.keys() == VARIABLES
    assert (value["schema_version"], value["event"], value["outcome"]) == (1, "best", None)
    assert variables["SEARCH_OUTCOME"] == ""
    guide = (Path(__file__).parents[4] / "docs/guides/steering.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in guide for name in KEYS | VARIABLES)


def test_a_long_error_is_cut_in_the_environment_alone(
    tmp_path: Path, told: Callable[[], tuple[dict[str, Any], dict[str, str]]]
) -> None:
    error = "x\0" + "y" * 300_000
    assert run(record_of(tmp_path), tmp_path / LOG, error=error, outcome=End.FAILED) is None
    assert told()[0]["error"] == error
    assert told()[1]["SEARCH_ERROR"] == "x " + "y" * 3998


def test_a_trial_that_ends_better_than_all_before_is_told(tmp_path: Path) -> None:
    study = open_study(tmp_path / "run", trials=8)
    best: list[tuple[int, float]] = []
    watch = BestWatch(
        study, lambda r: best.append((r.number, r.last_val_top1 or 0.0)), lambda: None
    )
    while (proposal := study.ask()) is not None:
        for metrics in curve(proposal.config):
            if study.report(proposal.number, metrics):
                watch.ended(study.records[proposal.number])
                break
    values = [value for _, value in best]
    assert best[0][0] == 0
    assert len(values) > 1
    assert values == sorted(set(values))
    assert values[-1] == max(record.last_val_top1 or 0.0 for record in study.records.values())
    again: list[TrialRecord] = []
    resumed = BestWatch(study, again.append, lambda: None)
    for record in study.records.values():
        resumed.ended(record)
    assert again == []  # a resumed search tells of what is new
    study.store.close()


def hooks(out: Path, data: Path, on_end: str, **more: Any) -> tuple[Hooks, list[str]]:
    notes: list[str] = []
    plan = planned(out, data, {}, name="run", trials=4)
    return Hooks(plan, on_end, warn=notes.append, **more), notes


def test_the_end_is_told_with_the_best_and_its_files(
    tmp_path: Path, tiny_data: Path, told: Callable[[], tuple[dict[str, Any], dict[str, str]]]
) -> None:
    study = search(planned(tmp_path, tiny_data, {}, name="run", trials=4))
    export(tmp_path / "run")
    found, notes = hooks(tmp_path, tiny_data, record_of(tmp_path))
    assert found.around(lambda: 0) == 0
    value, variables = told()
    best = max(study.records.values(), key=lambda r: r.last_val_top1 or 0.0)
    assert value["best"] == {
        "trial": best.number,
        "val_top1": best.last_val_top1,
        "epochs": best.epochs,
        "params": best.params,
        "baseline": best.number == 0,
    }
    assert (value["outcome"], value["exit_code"], value["error"]) == ("ended", 0, None)
    assert (value["trials"], value["trials_planned"]) == (4, 4)
    assert value["baseline_val_top1"] == study.records[0].last_val_top1
    assert value["best_file"] == str(tmp_path / "run" / "best.yaml")
    assert value["report"] is None
    assert variables["SEARCH_BEST_VAL_TOP1"] == str(best.last_val_top1)
    assert variables["SEARCH_RESUME_COMMAND"] == value["resume_command"]
    assert "said" in (tmp_path / "run" / LOG).read_text(encoding="utf-8")
    assert notes == []


def test_a_signal_is_an_interruption_and_an_error_a_failure(
    tmp_path: Path, tiny_data: Path, told: Callable[[], tuple[dict[str, Any], dict[str, str]]]
) -> None:
    def refuse() -> int:
        raise SearchError("No GPU; take another.")

    def interrupt() -> int:
        raise Interruption(15)

    def fail() -> int:
        found.error = "The search stopped: the disk is full"
        return 130

    def crash() -> int:
        raise KeyError("a fault of ours")

    found, _ = hooks(tmp_path, tiny_data, record_of(tmp_path))
    assert found.around(lambda: 143) == 143
    assert (told()[0]["outcome"], told()[0]["exit_code"]) == ("interrupted", 143)
    with pytest.raises(Interruption):
        found.around(interrupt)
    assert told()[1]["SEARCH_EXIT_CODE"] == "143"
    assert found.around(fail) == 130
    assert (told()[0]["outcome"], told()[0]["error"]) == ("failed", found.error)
    with pytest.raises(SearchError):
        found.around(refuse)
    value, variables = told()
    assert (value["outcome"], value["exit_code"], value["trials"]) == ("failed", 2, 0)
    assert variables["SEARCH_ERROR"] == "No GPU; take another."
    assert variables["SEARCH_BEST_TRIAL"] == ""
    with pytest.raises(KeyError):
        found.around(crash)
    value, _ = told()
    assert (value["outcome"], value["exit_code"]) == ("failed", 1)
    assert value["error"] == "KeyError: 'a fault of ours'"
    assert found.around(lambda: 1) == 1  # every trial has failed
    assert told()[0]["outcome"] == "failed"


def test_a_command_that_fails_changes_no_exit_code(tmp_path: Path, tiny_data: Path) -> None:
    opened(planned(tmp_path, tiny_data, {}, name="run", trials=4)).close()
    found, notes = hooks(tmp_path, tiny_data, "exit 9")
    assert found.around(lambda: 0) == 0
    (note,) = notes
    assert note == (
        "note: the command of --on-end failed: it ended with exit code 9; see "
        f"{tmp_path / 'run' / LOG}. The search isn't concerned."
    )


def test_what_a_shell_can_t_read_is_refused() -> None:
    assert check_hooks({"on_end": "echo 'a", "on_best": "if"}) != []
    first, second = check_hooks({"on_end": "echo 'a", "on_best": " "})
    assert first.startswith("--on-end must be a command that a shell can read, but isn't (")
    assert "(it is empty)" in second
    assert check_hooks({"on_end": "mail -s 'it ended' me", "on_best": None}) == []


def test_commands_are_never_recorded() -> None:
    assert HOOKS.keys() <= ACTIONS.keys()
    assert not HOOKS.keys() & vars(SearchOptions)


def test_trials_that_fail_are_never_the_best(tmp_path: Path) -> None:
    study, seen = open_study(tmp_path / "run"), list[TrialRecord]()
    watch = BestWatch(study, seen.append, lambda: None)
    failed = TrialRecord(number=0, state=TrialState.FAILED, params={}, config={}, last_val_top1=0.9)
    watch.ended(failed)
    assert seen == []
    study.store.close()
