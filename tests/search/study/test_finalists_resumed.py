"""Finalists that were killed, ran out of time, or are wanted of more."""

from dataclasses import replace
from pathlib import Path

import pytest

from results.analysis.finalist_comparison import compare_finalists
from results.records import TrainingId, TrialState
from results.side_store import FINALIST_FILES, SideStore
from search.study.finalists import Finalists, choose_finalists
from search.study.side_trainings import TIME_IS_UP
from tests.search.finalists_on_curves import final_of, kill, repeat
from tests.search.study_on_curves import RULES, metrics, open_study


@pytest.mark.parametrize("killed_after", [0, 1, 8, 9, 17, 40])
def test_killed_finalists_go_on_to_the_same_results(tmp_path: Path, killed_after: int) -> None:
    whole, cut = tmp_path / "whole" / "run", tmp_path / "cut" / "run"
    repeat(final_of(whole))
    first = final_of(cut)
    repeat(first, killed_after)
    kill(first)
    again = final_of(cut)
    assert not again.finished()
    repeat(again)
    assert FINALIST_FILES.read(cut) == FINALIST_FILES.read(whole)
    assert list(FINALIST_FILES.read_epochs(cut)) == list(FINALIST_FILES.read_epochs(whole))
    assert compare_finalists(FINALIST_FILES.read(cut).values()) == compare_finalists(
        FINALIST_FILES.read(whole).values()
    )


def test_an_epoch_that_was_recorded_before_a_kill_is_not_counted_twice(tmp_path: Path) -> None:
    finalists = final_of(tmp_path / "run", count=1)
    proposal = finalists.ask()
    assert proposal is not None
    path = SideStore(FINALIST_FILES, tmp_path / "run").checkpoint(proposal.training)
    path.parent.mkdir()
    path.write_bytes(b"state")
    for epoch in range(1, 10):
        finalists.store.add_epoch(proposal.training, metrics(epoch, 0.5))  # none decided on
    kill(finalists)
    again = final_of(tmp_path / "run", count=1)
    assert again.records[proposal.training].state is TrialState.COMPLETE
    assert not path.exists()
    ending = again.report(proposal.training, metrics(9, 0.5))
    assert ending is not None
    assert ending.state is TrialState.COMPLETE


def test_when_time_is_up_trainings_stay_unfinished_and_go_on_with_more(tmp_path: Path) -> None:
    left = [10.0]
    finalists = final_of(tmp_path / "run", count=1, time_left=lambda: left[0])
    proposal = finalists.ask()
    assert proposal is not None
    assert finalists.report(proposal.training, metrics(1, 0.3)) is None
    left[0] = 0.0
    assert finalists.report(proposal.training, metrics(2, 0.4)) == TIME_IS_UP
    assert finalists.ask() is None
    assert finalists.finished()
    kill(finalists)
    more = final_of(tmp_path / "run", count=1)
    assert not more.finished()
    resumed = more.ask()
    assert resumed is not None
    assert (resumed.training, resumed.epochs_done) == (proposal.training, 2)


def test_more_finalists_and_repeats_keep_what_was_trained(tmp_path: Path) -> None:
    first = final_of(tmp_path / "run", count=1, repeats=2)
    trained = repeat(first)
    kill(first)
    more = repeat(final_of(tmp_path / "run", count=2, repeats=3))
    assert len(trained) == 4
    assert len(more) == 5
    assert not set(trained) & set(more)
    assert len(FINALIST_FILES.read(tmp_path / "run")) == 9


def test_a_study_with_more_trials_has_its_old_finalists_and_its_new_ones(tmp_path: Path) -> None:
    first = final_of(tmp_path / "run", count=1, repeats=2, trials=2)
    trained = repeat(first)
    kill(first)
    assert {training.number for training in trained} == {0, 1}
    more = final_of(tmp_path / "run", count=1, repeats=2, trials=12)
    best = choose_finalists(more.study.records, 1)[0]
    assert best not in (0, 1)
    assert repeat(more) == [TrainingId(best, 1), TrainingId(best, 2)]
    outcome = compare_finalists(FINALIST_FILES.read(tmp_path / "run").values())
    assert outcome is not None
    assert {standing.trial for standing in outcome.standings} == {0, 1, best}


def test_after_an_extension_to_more_epochs_all_are_trained_anew_at_that_length(
    tmp_path: Path,
) -> None:
    first = final_of(tmp_path / "run", count=1, repeats=2)
    repeat(first)
    kill(first)
    longer = Finalists(
        study=open_study(tmp_path / "run", trials=6, rules=replace(RULES, epochs=12)),
        store=SideStore(FINALIST_FILES, tmp_path / "run"),
        count=1,
        repeats=2,
        seed=0,
    )
    assert not longer.finished()
    proposals = []
    while (proposal := longer.ask()) is not None:
        proposals.append(proposal)
        for epoch in range(1, 13):
            longer.report(proposal.training, metrics(epoch, 0.1))
    assert [p.training.repeat for p in proposals] == [3, 3, 4, 4]
    assert {p.config.epochs for p in proposals} == {12}
    outcome = compare_finalists(longer.records.values())
    assert outcome is not None
    assert (outcome.epochs, outcome.planned) == (12, 2)
