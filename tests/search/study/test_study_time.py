"""What becomes of a study's trials when its time is up, and when it is given more."""

import pytest

from results.records import StopReason, TrialState
from results.store import read_trials
from tests.search.session_on_curves import play
from tests.search.study.test_study import frozen, outcome
from tests.search.study_on_curves import curve, metrics, open_study


def test_when_the_time_is_up_nothing_is_proposed_and_running_trials_end(tmp_path):
    left = [10.0]
    study = open_study(tmp_path / "run", time_left=lambda: left[0])
    study.ask()
    assert study.report(0, metrics(1, 0.3)) is None
    left[0] = 0.0
    assert study.report(0, metrics(2, 0.4)).reason is StopReason.BUDGET
    assert study.ask() is None
    assert study.finished()


def test_resuming_with_no_time_left_keeps_every_recorded_epoch(tmp_path):
    study = open_study(tmp_path / "run", trials=3)
    study.ask()
    for epoch in range(1, 6):
        study.report(0, metrics(epoch, 0.1 * epoch))
    checkpoint = study.store.checkpoint(0)
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"state")
    study.store.close()
    late = open_study(tmp_path / "run", trials=3, time_left=lambda: -1.0)
    assert late.finished()
    assert late.ask() is None
    assert late.records[0].state is TrialState.RUNNING
    assert len(late.epochs[0]) == 5
    assert checkpoint.exists()
    late.store.close()
    more = open_study(tmp_path / "run", trials=3)  # a larger budget
    assert more.ask().epochs_done == 5


def stop_by_time(directory, after_epochs):
    """A search of one worker whose time is up with its `after_epochs`-th epoch."""
    done = []
    study = open_study(directory, time_left=lambda: after_epochs - len(done) - 0.5)
    while (proposal := study.ask()) is not None:
        for epoch in curve(proposal.config)[proposal.epochs_done :]:
            done.append(epoch)
            if study.report(proposal.number, epoch):
                break
    study.store.close()
    return study


@pytest.mark.parametrize("epochs", [5, 10, 14, 16, 23])
def test_a_larger_budget_lets_go_on_what_the_smaller_one_stopped(tmp_path, epochs):
    """Whether its last epoch was between two rungs or at one, where the rung may say no."""
    whole = tmp_path / "whole" / "run"
    play(open_study(whole))
    cut = tmp_path / "cut" / "run"
    study = stop_by_time(cut, epochs)
    assert [r.reason for r in study.records.values()].count(StopReason.BUDGET) == 1
    play(open_study(cut))
    assert outcome(cut) == outcome(whole)
    assert [t.state for t in frozen(cut)] == [t.state for t in frozen(whole)]
    assert [t.params for t in frozen(cut)] == [t.params for t in frozen(whole)]


def test_what_a_budget_stopped_keeps_its_checkpoint_until_it_ends(tmp_path):
    left = [1.0]
    study = open_study(tmp_path / "run", trials=1, time_left=lambda: left[0])
    study.ask()
    checkpoint = study.store.checkpoint(0)
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"state")
    left[0] = 0.0
    assert study.report(0, metrics(1, 0.3)).reason is StopReason.BUDGET
    study.store.close()
    late = open_study(tmp_path / "run", trials=1, time_left=lambda: 0.0)
    assert checkpoint.exists()
    assert late.ask() is None
    assert read_trials(tmp_path / "run")[0].reason is StopReason.BUDGET
    late.store.close()
    more = open_study(tmp_path / "run", trials=1)
    assert more.ask().epochs_done == 1
    assert read_trials(tmp_path / "run")[0].state is TrialState.RUNNING
    for epoch in range(2, 10):
        more.report(0, metrics(epoch, 0.3))
    assert more.finished()
    assert not checkpoint.exists()
