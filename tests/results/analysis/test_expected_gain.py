import pytest

from results.analysis.expected_gain import (
    ExpectedGain,
    describe_gain,
    gain_of_run,
    is_enough,
    latest_gain,
)
from results.records import TrialRecord, TrialState

HOUR = ExpectedGain(
    ended=12, unit="GPU-hour", ten=0.004, ten_upper=0.012, hour=0.0006, hour_upper=0.0019
)
TEN = ExpectedGain(ended=10, unit="GPU-hour", ten=0.004, ten_upper=0.012)


def record(number, gain=None):
    found = None if gain is None else {name: getattr(gain, name) for name in gain.__slots__}
    return TrialRecord(number=number, state=TrialState.COMPLETE, params={}, config={}, gain=found)


def test_an_estimate_is_described_in_points_and_its_absence_with_the_reason():
    assert describe_gain(None) == "not known before 10 trials have ended"
    assert describe_gain(TEN) == "ten more trials 0.40 points (90 %: ≤ 1.20)"
    assert describe_gain(HOUR) == (
        "another GPU-hour 0.06 points (90 %: ≤ 0.19); ten more trials 0.40 points (90 %: ≤ 1.20)"
    )


@pytest.mark.parametrize(
    ("gain", "min_gain", "enough"),
    [(HOUR, 0.002, True), (HOUR, 0.0019, False), (HOUR, 0.0, False), (TEN, 0.5, False),
     (None, 0.5, False)],
)  # fmt: skip
def test_a_search_is_enough_once_the_upper_end_of_an_hour_lies_below_the_threshold(
    gain, min_gain, enough
):
    assert is_enough(gain, min_gain) is enough


def test_the_latest_estimate_is_that_after_most_ends_and_of_the_present_length():
    records = [record(0), record(1, HOUR), record(2, TEN)]
    assert latest_gain(records) == HOUR
    assert latest_gain(records, first=2) == TEN
    assert latest_gain(records, first=3) is None


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
