from dataclasses import replace

import pytest

from results.analysis.expected_gain import (
    ExpectedGain,
    advise_less,
    describe_end,
    describe_gain,
    gain_of_run,
    is_enough,
    latest_gain,
)
from results.records import TrialRecord, TrialState

HOUR = ExpectedGain(
    ended=12, unit="GPU-hour", ten=0.004, ten_upper=0.012, hour=0.0006, hour_upper=0.0019
)
SKEW = ExpectedGain(ended=12, unit="core-hour", hour=0.0025, hour_upper=0.0)
TEN = ExpectedGain(ended=10, unit="GPU-hour", ten=0.004, ten_upper=0.012)


def record(number, gain=None):
    found = None if gain is None else {name: getattr(gain, name) for name in gain.__slots__}
    return TrialRecord(number=number, state=TrialState.COMPLETE, params={}, config={}, gain=found)


def test_an_estimate_is_described_in_points_and_its_absence_with_the_reason():
    assert describe_gain(None, 9) == "not known before 10 trials have ended"
    assert describe_gain(None, 10) == "not known yet"
    assert describe_gain(SKEW) == "another core-hour 0.25 points (90 %: ≤ 0.25)"
    assert "at most 0.25 points" in describe_end(SKEW, 0.003)
    assert describe_gain(TEN) == "ten more trials 0.40 points (90 %: ≤ 1.20)"
    assert describe_gain(HOUR) == (
        "another GPU-hour 0.06 points (90 %: ≤ 0.19); ten more trials 0.40 points (90 %: ≤ 1.20)"
    )


@pytest.mark.parametrize(
    ("gain", "min_gain", "enough"),
    [(HOUR, 0.002, True), (HOUR, 0.0019, False), (HOUR, 0.0, False), (TEN, 0.5, False),
     (SKEW, 0.002, False), (SKEW, 0.0025, False), (SKEW, 0.0026, True), (None, 0.5, False)],
)  # fmt: skip
def test_a_search_is_enough_once_an_hour_s_expectation_and_upper_end_lie_below_the_threshold(
    gain, min_gain, enough
):
    assert is_enough(gain, min_gain) is enough


def test_the_latest_estimate_is_that_after_most_ends_and_of_the_present_length():
    records = [record(0), record(1, HOUR), record(2, TEN)]
    assert latest_gain(records) == HOUR
    assert latest_gain(records, first=2) == TEN
    assert latest_gain(records, first=3) is None


def test_the_latest_estimate_is_that_after_most_epochs_also_where_fewer_trials_have_ended():
    again = replace(TEN, epochs=90)  # trials that a budget cut run again
    assert latest_gain(
        [record(0, HOUR), record(1, again), record(2, replace(HOUR, epochs=80))]
    ) == (again)


@pytest.mark.parametrize(
    ("bound", "advice"),
    [(0.046789, "--min-gain 0.0467 or less, or 0"), (0.0025, "--min-gain 0.0025 or less, or 0"),
     (0.00009, "--min-gain 0"), (0.0, "--min-gain 0")],
)  # fmt: skip
def test_the_advice_names_the_largest_threshold_that_goes_on(bound, advice):
    gain = replace(HOUR, hour_upper=bound, hour=0.0)
    assert advise_less(gain) == advice
    assert not is_enough(gain, float(advice.split()[1]))


def test_a_run_says_why_it_ended_and_an_older_one_has_no_estimate():
    manifest = {"options": {"min_gain": 0.002}, "horizons": [{"first": 0}]}
    gain, why = gain_of_run(manifest, [record(1, HOUR)])
    assert gain == HOUR
    assert why == (
        "another GPU-hour would gain at most 0.19 points of val_top1 (90 %), less than "
        "--min-gain 0.002"
    )
    assert gain_of_run({"options": {"min_gain": 0.001}}, [record(1, HOUR)]) == (HOUR, "")
    assert gain_of_run({"options": {}}, [record(1)]) == (None, "")


def test_a_run_names_no_end_once_all_trials_began_nor_an_estimate_of_another_space():
    records = [record(0), record(1, HOUR)]
    for trials, ended in ((3, True), (2, False)):
        gain, why = gain_of_run({"options": {"min_gain": 0.002, "trials": trials}}, records)
        assert (gain, bool(why)) == (HOUR, ended)
    changed = {"options": {"min_gain": 0.002}, "searched": {"since": 2}}
    assert gain_of_run(changed, records) == (None, "")
    assert gain_of_run(changed, [*records, record(2, TEN)]) == (TEN, "")
