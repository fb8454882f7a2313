import math
import time

import numpy as np
import pytest

from search.samplers.expected_gain import ALIKE, LEAST_EXCESS, estimate_gains
from search.samplers.gain_watch import GainWatch
from search.samplers.learning_curves import ObservedTrial

MARKS = (3, 9)


def trial(*values, running=False, unfit=False):
    """A trial with these values at the first of `MARKS`."""
    seen = dict(zip(MARKS, values, strict=False))
    return ObservedTrial(params={}, values=seen, running=running, unfit=unfit)


def complete(ends):
    return [trial(end - 0.1, end) for end in ends]


def test_there_is_no_estimate_before_ten_trials_have_ended():
    trials = [*complete(np.linspace(0.4, 0.6, 9)), trial(0.5, running=True)]
    assert estimate_gains(trials, 8, MARKS, (1, 2)) == [None, None]
    trials.append(trial(0.2, unfit=True))
    assert None not in estimate_gains(trials, 8, MARKS, (1, 2))


def test_there_is_no_estimate_for_more_trials_than_have_begun():
    few, many = estimate_gains(complete(np.linspace(0.4, 0.6, 12)), 11, MARKS, (12, 12.5))
    assert few is not None
    assert many is None


def test_there_is_no_estimate_while_the_leader_has_not_reached_the_first_mark():
    trials = [*complete(np.linspace(0.4, 0.6, 12)), trial(running=True)]
    assert estimate_gains(trials, 12, MARKS, (1,)) == [None]


def test_no_gain_leads_beyond_an_accuracy_of_1():
    ends = np.linspace(0.45, 0.90, 10)  # the best nine exceed the last by 0.25, and 0.1 is left
    (gain,) = estimate_gains(complete(ends), 9, MARKS, (10,))
    assert gain.upper == pytest.approx(0.1)
    left = 0.25 * math.log(15 / (5 + 10 * math.exp(-0.1 / 0.25)))
    assert gain.expected == pytest.approx(left, rel=0.02)
    (none,) = estimate_gains(complete([*ends[:-1], 1.0]), 9, MARKS, (10,))
    assert (none.expected, none.upper) == (0.0, 0.0)


@pytest.mark.parametrize("more", [2, 5, 20])
def test_the_gain_of_complete_trials_follows_from_records_and_the_mean_excess(more):
    ends = np.linspace(0.0, 0.38, 20)  # steps of 0.02: the best ten exceed the next by 0.11
    (gain,) = estimate_gains(complete(ends), 19, MARKS, (more,))
    ratio = more / (ALIKE * 20)
    assert gain.expected == pytest.approx(0.11 * math.log(1 + ratio), rel=0.02)
    assert gain.upper == pytest.approx(max(0.11 * math.log(9 * ratio), 0.0), rel=0.02)


def test_the_upper_end_is_0_once_a_record_is_less_likely_than_one_in_ten():
    trials = complete(np.linspace(0.4, 0.6, 100))
    often, seldom = estimate_gains(trials, 99, MARKS, (7, 5))  # 7 of 57, 5 of 55
    assert often.upper > 0.002
    assert seldom.upper == 0.0
    assert 0.0 < seldom.expected < often.expected


def test_equal_results_do_not_count_as_proof_that_nothing_better_exists():
    trials = [*complete([0.3] * 5), *complete([0.5] * 15)]
    (gain,) = estimate_gains(trials, 5, MARKS, (10,))
    assert gain.upper == pytest.approx(LEAST_EXCESS * math.log(9), rel=0.02)


def test_a_running_trial_that_is_ahead_gains_and_one_far_behind_does_not():
    trials = complete(np.linspace(0.4, 0.6, 100))
    alone, ahead, behind = (
        estimate_gains([*trials, *more], 99, MARKS, (2,))[0]
        for more in ([], [trial(0.55, running=True)], [trial(0.1, running=True)])
    )
    assert alone.upper == 0.0
    assert ahead.expected == pytest.approx(0.05, abs=0.02)
    assert ahead.upper > ahead.expected
    assert behind.expected == pytest.approx(alone.expected, rel=0.05)


def test_the_leader_itself_may_still_be_running():
    trials = [*complete(np.linspace(0.4, 0.6, 100)), trial(0.7, running=True)]
    (gain,) = estimate_gains(trials, 100, MARKS, (2,))
    assert gain.expected < 0.01


def test_an_estimate_at_1_000_trials_takes_less_than_50_ms():
    rng = np.random.default_rng(0)
    trials = [trial(*rng.random(rng.integers(1, 3)), running=n % 100 == 0) for n in range(1000)]
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        estimate_gains(trials, 1, MARKS, (10, 100))
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.05


def test_an_estimate_is_due_at_a_hundredth_of_the_trials_at_the_most():
    watch = GainWatch(0.002)
    assert not watch.is_due(10)  # while records are replayed
    watch.recall([], 0)
    assert all(watch.is_due(begun) for begun in range(10, 200))
    assert [begun for begun in range(300, 312) if watch.is_due(begun)] == [300, 303, 306, 309]
    assert sum(watch.is_due(begun) for begun in range(9_000, 10_000)) == 20
