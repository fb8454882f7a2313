from dataclasses import dataclass

from results.analysis.pareto import ALONE
from results.analysis.ranking import best_trial, rank_trials
from results.records import StopReason, TrialRecord, TrialState


@dataclass(frozen=True)
class Standing:
    """What is ranked, and nothing else."""

    number: int
    last_val_top1: float | None
    trusted: bool = True


def test_the_highest_latest_value_is_first_and_what_failed_is_last():
    trials = [
        Standing(0, 0.5),
        Standing(1, 0.9, trusted=False),
        Standing(2, 0.7),
        Standing(3, None),
        Standing(4, 0.7),
        Standing(5, 0.0),
    ]
    assert [each.number for each in rank_trials(trials)] == [2, 4, 0, 5, 1]


def record(number, last, latency=None, **more):
    return TrialRecord(
        number=number, params={}, config={}, last_val_top1=last, latency_ms=latency,
        **{"state": TrialState.COMPLETE} | more,
    )  # fmt: skip


def test_no_trial_is_the_best_where_none_succeeded():
    diverged = record(0, 0.9, state=TrialState.STOPPED, reason=StopReason.DIVERGED)
    failed = record(1, 0.8, state=TrialState.FAILED)
    unmeasured = record(2, None, state=TrialState.RUNNING)
    trials = {each.number: each for each in (diverged, failed, unmeasured)}
    assert best_trial(trials, ALONE) is None
    good = record(3, 0.1)
    assert best_trial(trials | {3: good}, ALONE) is good


def test_of_equal_trials_with_several_objectives_the_one_on_the_front_is_the_best():
    """Trial 0 is as accurate as trial 1, and slower."""
    trials = {0: record(0, 0.6, 9.0), 1: record(1, 0.6, 4.0), 2: record(2, 0.5, 1.0)}
    assert best_trial(trials, ("val_top1", "latency_ms")) is trials[1]
    assert best_trial(trials, ALONE) is trials[0]
