"""What a user changes is recorded, kept when the search goes on, and decided alike after a kill."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from results.analysis.run_records import read_run_records
from results.page.report_page import page
from results.page.run_data import read_run
from results.page.table import table
from results.records import StopReason, TrialState
from results.side_store import SteeringAction, read_steering
from results.store import read_manifest
from search.config.command_line import resolve
from search.session.session import Session
from search.session.steering.steered_session import keep_steered
from search.study.steering.commands import SteeringError
from tests.search.session_on_curves import opened, outcome, planned, search
from tests.search.study_on_curves import curve

COMMANDS = {
    3: "stop 0",
    5: "try lr=0.004 dropout=0.2",
    6: "try lr=0.005 --from-baseline",
    12: "budget +2 trials",
}
"""After so many epochs of the search, a user types this."""


def play(session: Session, commands: Mapping[int, str], until: float = 999) -> None:
    """One worker, which trains proposals on made curves; is killed `until` so many epochs."""
    done = sum(map(len, session.study.epochs.values()))
    while (proposal := session.study.ask()) is not None:
        for metrics in curve(proposal.config, 9)[proposal.epochs_done :]:
            if done >= until:
                return
            ending = session.study.report(proposal.number, metrics)
            done += 1
            if words := commands.get(done):
                session.steering.carry_out(words.split())
            if ending:
                break


def start(out: Path, data: Path, **changes: Any) -> Session:
    return opened(planned(out, data, changes, name="run", trials=6))


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Path:
    """A search that was steered, and never interrupted."""
    place = tmp_path_factory.mktemp("steered")
    session = start(place, tiny_data)
    play(session, COMMANDS)
    session.close()
    return place / "run"


def test_the_records_tell_what_was_changed(steered: Path) -> None:
    stop, first, second, budget = read_steering(steered)
    assert (stop.action, stop.trial, stop.epoch) == (SteeringAction.STOP, 0, 4)
    assert (first.trial, second.trial) == (2, 3)  # trial 1 was running by then
    assert (first.params or {})["dropout"] == 0.2
    assert (budget.trials, budget.session) == (8, 1)
    assert budget.words == "budget +2 trials"


def test_the_trials_are_as_asked(steered: Path) -> None:
    trials = read_run_records(steered).trials
    assert len(trials) == 8
    assert (trials[0].state, trials[0].reason, trials[0].epochs) == (
        TrialState.STOPPED, StopReason.BY_HAND, 4,
    )  # fmt: skip
    assert (trials[2].config["lr"], trials[2].config["dropout"]) == (0.004, 0.2)
    assert trials[3].config["lr"] == 0.005
    assert trials[3].config["dropout"] == trials[0].config["dropout"]


@pytest.mark.parametrize("killed_after", [3, 4, 5, 6, 7, 14, 20])
def test_a_killed_search_decides_alike(
    killed_after: int, steered: Path, tmp_path: Path, tiny_data: Path
) -> None:
    session = start(tmp_path, tiny_data)
    play(session, COMMANDS, killed_after)
    session.store.close()  # as a kill does, which writes no end
    again = opened(planned(tmp_path, tiny_data, {}, name="run", trials=6))
    later = {at: words for at, words in COMMANDS.items() if at > killed_after}
    play(again, later)
    again.close()
    assert outcome(tmp_path / "run") == outcome(steered)


def test_nobody_s_change_leaves_no_file(tmp_path: Path, tiny_data: Path) -> None:
    session = start(tmp_path, tiny_data)
    play(session, {})
    session.close()
    assert not (tmp_path / "run" / "steering.jsonl").exists()
    assert "steered" not in read_manifest(tmp_path / "run")


def test_a_changed_limit_holds_when_the_search_goes_on(tmp_path: Path, tiny_data: Path) -> None:
    session = start(tmp_path, tiny_data, time_budget="1h")
    for words in ("budget +30m", "budget +4 trials", "budget +1h"):
        session.steering.carry_out(words.split())
    session.close()
    saved = read_manifest(tmp_path / "run")["options"]
    assert (saved["time_budget"], saved["trials"]) == ("2h30m", 10)
    place = {"name": "run", "out": str(tmp_path)}
    # A queue's script has the options that the search began with, or those of a session since.
    layers: list[dict[str, Any]] = [{"trials": "6"}, {"time_budget": "60m", "seed": "0"}]
    notes = keep_steered(place, layers)
    assert layers == [{}, {"seed": "0"}]
    assert len(notes) == 2
    words = "note: --time-budget is 2h30m, to which search.steer has changed it from 60m."
    assert words in notes
    other = [{"trials": "12"}]
    assert keep_steered(place, other) == []
    assert resolve(saved, *other)[0].trials == 12
    again = opened(planned(tmp_path, tiny_data, {}, name="run", trials=6))
    assert again.study.trials == 10
    again.close()


def test_a_trial_that_an_earlier_session_left_ends_at_once(tmp_path: Path, tiny_data: Path) -> None:
    session = start(tmp_path, tiny_data)
    play(session, {}, 5)
    session.close()
    again = opened(planned(tmp_path, tiny_data, {}, name="run", trials=6))
    record = again.steering.carry_out(["stop", "0"])
    assert record.answer == "Trial 0 ends now, after epoch 5."
    assert again.study.records[0].reason is StopReason.BY_HAND
    proposal = again.study.ask()
    assert proposal is not None
    assert proposal.number == 1
    again.close()


def test_an_end_by_hand_ends_this_session_alone(tmp_path: Path, tiny_data: Path) -> None:
    session = start(tmp_path, tiny_data)
    play(session, {5: "end"})
    assert session.finished()
    with pytest.raises(SteeringError, match="this one was ended by hand"):
        session.steering.carry_out(["stop", "0"])
    session.close()
    last = read_manifest(tmp_path / "run")["sessions"][-1]
    assert last["ended_by"] == "the search was ended by hand"
    (trial,) = read_run_records(tmp_path / "run").trials.values()
    assert (trial.reason, trial.epochs) == (StopReason.BUDGET, 6)
    again = opened(planned(tmp_path, tiny_data, {}, name="run", trials=6))
    play(again, {})
    assert [record.state for record in again.study.records.values()].count(TrialState.RUNNING) == 0
    assert len(again.study.records) == 6
    again.close()


def test_the_page_lists_the_changes(steered: Path) -> None:
    run = read_run(steered)
    assert [words for _, words, _ in run.changes] == list(COMMANDS.values())
    cells = {row.cells[0].text for row in table(run).rows}
    assert {"1", "2 (by hand)", "3 (by hand)", "4"} <= cells
    html = page(steered)
    assert "What was changed by hand" in html
    assert "stopped: by hand" in html


def test_what_was_asked_for_comes_before_a_longer_horizon(tmp_path: Path, tiny_data: Path) -> None:
    """Two configurations wait when the search is broken off, and it goes on with 27 epochs."""
    session = start(tmp_path, tiny_data)
    play(session, {20: "try lr=0.004", 21: "try lr=0.005"}, 21)
    session.close()
    asked = {e.trial: e.params for e in read_steering(tmp_path / "run")}
    begun = session.study.records
    assert set(asked) == {len(begun), len(begun) + 1}
    plan = planned(tmp_path, tiny_data, {"epochs": 27}, name="run", trials=6)
    study = search(plan)
    (short, long) = study.horizons
    assert (short.epochs, long.first, long.epochs) == (9, len(begun) + 2, 27)
    assert {n: study.records[n].params for n in asked} == asked
    assert {study.records[n].config["epochs"] for n in asked} == {9}
    repeated = [study.records[n] for n in range(long.first, long.first + long.proven)]
    assert [r.params for r in repeated] == [each.params for each in long.queue]
    assert repeated[0].params == study.records[0].params
    assert {(r.config["epochs"], r.epochs) for r in repeated} == {(27, 27)}


def test_a_number_of_trials_names_what_it_leaves_out(tmp_path: Path, tiny_data: Path) -> None:
    session = start(tmp_path, tiny_data)
    play(session, {2: "try lr=0.004", 3: "try lr=0.005"}, 3)  # behind the prior's trial
    left = session.steering.carry_out(["budget", "3", "trials"]).answer
    assert left == (
        "The search tries 3 trials, and has begun 1. Asked for by `try`, but no longer reached: 3."
    )
    again = session.steering.carry_out(["budget", "4", "trials"]).answer
    assert again == "The search tries 4 trials, and has begun 1."
    session.close()
