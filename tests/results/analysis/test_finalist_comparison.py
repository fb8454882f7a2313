"""Finalists by hand: means, Student's intervals, and who wins."""

import math

import pytest

from results.analysis.finalist_comparison import compare_finalists
from results.analysis.intervals import interval
from results.records import FinalistRecord, StopReason, TrialState


def runs(trial, values, *, epochs=30, first=1):
    """One record a value; `None` diverged, "running" hasn't ended."""
    made = []
    for repeat, value in enumerate(values, first):
        config = {"lr": 0.1 + trial, "epochs": epochs, "seed": 100 + repeat}
        more = {"state": TrialState.COMPLETE, "val_top1": value}
        if value is None:
            more = {"state": TrialState.STOPPED, "reason": StopReason.DIVERGED}
        elif value == "running":
            more = {"state": TrialState.RUNNING}
        made.append(FinalistRecord(trial=trial, repeat=repeat, config=config, **more))
    return made


def test_an_interval_by_hand():
    """Mean 0.5, s = 0.02, n = 3: 4.3027 × 0.02 / √3 = 0.049683."""
    found = interval([0.48, 0.50, 0.52])
    assert found.mean == 0.5
    assert found.high == pytest.approx(0.5 + 0.049683, abs=1e-6)
    assert found.low == pytest.approx(0.5 - 0.049683, abs=1e-6)


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.7062), (4, 3.1824), (5, 2.7764), (11, 2.2281)])
def test_the_quantiles_are_those_of_the_tables(n, quantile):
    values = [0.0] * (n - 1) + [1.0]
    s = math.sqrt(1 / n)  # n − 1 zeros and a one: Σ(x − x̄)² = (n − 1) / n
    found = interval(values)
    assert found.high - found.mean == pytest.approx(quantile * s / math.sqrt(n), rel=1e-4)


def test_the_mean_decides_and_not_the_luckiest_repeat():
    found = compare_finalists([*runs(0, [0.50, 0.50, 0.50]), *runs(1, [0.70, 0.40, 0.40]),
                    *runs(2, [0.52, 0.53, 0.51])])  # fmt: skip
    assert [s.trial for s in found.standings] == [2, 0, 1]
    assert found.winner.top1.mean == pytest.approx(0.52)
    assert (found.seeds, found.planned) == ((101, 102, 103), 3)


def test_leads_are_paired_so_that_what_a_seed_does_to_all_cancels():
    """Seeds move both by 0.1 and more; the difference is 0.02, 0.03, 0.04 in each of them."""
    found = compare_finalists([*runs(0, [0.40, 0.50, 0.60]), *runs(3, [0.42, 0.53, 0.64])])
    lead = found.winner.lead
    assert lead.mean == pytest.approx(0.03)
    assert lead.low == pytest.approx(0.03 - 4.3027 * 0.01 / math.sqrt(3), abs=1e-6)
    assert found.beats_baseline is True
    assert found.winner.top1.low < 0.40 < found.winner.top1.mean  # unpaired it would drown


def test_intervals_end_where_accuracies_and_their_differences_do():
    """Student's quantile for two values is 12.7062, and half of their distance their error."""
    found = compare_finalists([*runs(0, [0.10, 0.14]), *runs(3, [0.90, 0.60])])
    winner, baseline = found.standings
    assert (baseline.top1.low, baseline.top1.high) == (0.0, pytest.approx(0.12 + 12.7062 * 0.02))
    assert (winner.top1.low, winner.top1.high) == (0.0, 1.0)
    assert (winner.lead.low, winner.lead.high) == (-1.0, 1.0)


def test_a_lead_within_noise_is_none():
    found = compare_finalists([*runs(0, [0.50, 0.51, 0.50]), *runs(3, [0.50, 0.53, 0.51])])
    assert found.winner.trial == 3
    assert found.winner.lead.low < 0 < found.winner.lead.mean
    assert found.beats_baseline is False


def test_with_equal_means_the_earlier_trial_wins_and_the_baseline_before_all():
    same = [0.5, 0.6, 0.7]
    found = compare_finalists([*runs(9, same), *runs(4, same[::-1]), *runs(0, same)])
    assert [s.trial for s in found.standings] == [0, 4, 9]
    assert found.beats_baseline is None
    assert found.winner.lead is None


def test_one_that_diverged_in_a_repeat_cannot_win():
    found = compare_finalists([*runs(0, [0.5, 0.5, 0.5]), *runs(1, [0.9, None, 0.9])])
    assert [s.trial for s in found.standings] == [0, 1]
    assert found.standings[1].values == (0.9, None, 0.9)
    assert found.standings[1].top1.mean == pytest.approx(0.9)
    assert found.standings[1].lead.mean == pytest.approx(0.4)  # of the two pairs there are


def test_where_all_went_wrong_nobody_wins():
    found = compare_finalists([*runs(0, [None, 0.5]), *runs(1, [0.9, None])])
    assert found.winner is None
    assert found.beats_baseline is None
    assert [s.top1 for s in found.standings] == [None, None]


def test_without_a_sound_baseline_there_is_a_winner_and_no_verdict():
    found = compare_finalists([*runs(2, [0.5, 0.5]), *runs(1, [0.6, 0.6])])
    assert (found.winner.trial, found.beats_baseline) == (1, None)


def test_only_repeats_that_all_have_ended_count():
    found = compare_finalists([*runs(0, [0.5, 0.5, "running"]), *runs(1, [0.4, 0.4, 0.9])])
    assert (found.winner.trial, found.seeds, found.planned) == (0, (101, 102), 3)
    assert compare_finalists([*runs(0, [0.5, "running"]), *runs(1, [0.4, 0.4])]) is None
    assert compare_finalists([*runs(0, [0.5, 0.5]), *runs(1, [0.4])]) is None
    assert compare_finalists(runs(0, [0.5, 0.5])) is None
    assert compare_finalists([]) is None


def test_after_an_extension_the_longer_trainings_count():
    short = [*runs(0, [0.9, 0.9]), *runs(1, [0.8, 0.8])]
    long = [*runs(0, [0.5, 0.5], epochs=60, first=3), *runs(2, [0.6, 0.6], epochs=60, first=3)]
    found = compare_finalists([*short, *long])
    assert [s.trial for s in found.standings] == [2, 0]
    assert found.planned == 2
