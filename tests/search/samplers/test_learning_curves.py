from dataclasses import replace

import numpy as np
import pytest

from results.records import StopReason, TrialRecord, TrialState
from search.samplers import learning_curves
from search.samplers.learning_curves import Evidence, ObservedTrial, expected_ends
from tests.search.study_on_curves import metrics


def seen(*values, marks=(1, 3, 9), **kind):
    return ObservedTrial(params={}, values=dict(zip(marks, values, strict=False)), **kind)


def test_what_has_come_to_its_end_stands_as_it_is():
    values, variances = expected_ends([seen(0.1, 0.2, 0.3), seen(0.1, 0.2, 0.6)], (1, 3, 9))
    assert values.tolist() == [0.3, 0.6]
    assert variances.tolist() == [0.0, 0.0]


def test_a_stopped_trial_is_carried_to_the_end_by_the_line_of_the_others():
    # Those that went on rise from x to 0.2 + x: slope 1, so the prior changes nothing.
    whole = [seen(x, 0.2 + x, marks=(1, 3)) for x in (0.1, 0.2, 0.3, 0.4)]
    values, variances = expected_ends([*whole, seen(0.25)], (1, 3))
    assert values[-1] == pytest.approx(0.45)
    assert variances[-1] == pytest.approx(0.0, abs=1e-12)


def test_what_scatters_about_the_line_is_uncertain():
    ends = (0.3, 0.5, 0.5, 0.7)  # off the line of slope 1 by -0.05, 0.05, -0.05, 0.05
    starts = (0.15, 0.25, 0.35, 0.45)
    whole = [seen(a, b, marks=(1, 3)) for a, b in zip(starts, ends, strict=True)]
    values, variances = expected_ends([*whole, seen(0.3)], (1, 3))
    assert values[-1] == pytest.approx(0.5)
    assert variances[-1] == pytest.approx(4 * 0.05**2 / 2, rel=0.25)


def test_few_that_went_on_shift_the_others_without_turning_them_round():
    values, variances = expected_ends([seen(0.2, 0.5), seen(0.1), seen(0.0)], (1, 3))
    assert values.tolist() == pytest.approx([0.5, 0.4, 0.3])
    assert variances.tolist() == pytest.approx([0.0, *[np.var([0.0, 0.1, 0.2]) / 4] * 2])


def test_the_worst_are_drawn_up_to_a_floor_on_which_the_unfit_lie():
    values, variances = expected_ends(
        [seen(x, marks=(3,)) for x in (0.5, 0.6, 0.55, -9.0)] + [seen(unfit=True)], (3,)
    )
    floor = np.median([0.5, 0.6, 0.55, -9.0]) - 2 * (0.6 - np.median([0.5, 0.6, 0.55, -9.0]))
    assert values.tolist() == pytest.approx([0.5, 0.6, 0.55, floor, floor])
    assert variances.tolist() == pytest.approx([0, 0, 0, 0, ((0.6 - floor) / 2) ** 2])


def test_what_a_trial_tells_is_found_once_and_anew_after_an_epoch_until_it_has_ended(monkeypatch):
    calls = []
    real = learning_curves.observe
    monkeypatch.setattr(
        learning_curves,
        "observe",
        lambda record, *rest: calls.append(record.number) or real(record, *rest),
    )
    cache, epochs = learning_curves.ObservationCache((1, 3), [seen(0.1)]), [metrics(1, 0.25)]
    records = {
        n: TrialRecord(number=n, state=TrialState.RUNNING, params={"x": n}, config={})
        for n in (3, 4, 7)
    }

    def known():
        each = {3: [], 4: epochs, 7: []}
        found = cache.of(records, each, lambda _: 3, lambda record: record.number != 3)
        return {each.params.get("x"): each for each in found}

    before = known()
    assert [*before] == [None, 4, 7]  # the earlier one first, and none that doesn't count
    assert before[4].values == {1: 0.25}
    assert known() == before
    assert calls == [4, 7]
    epochs += [metrics(2, 0.5), metrics(3, 0.75)]
    assert known()[4].values == {1: 0.25, 3: 0.75}
    records[4] = replace(records[4], state=TrialState.COMPLETE)
    assert not known()[4].running
    records[4] = replace(records[4], state=TrialState.STOPPED, reason=StopReason.DIVERGED)
    assert not known()[4].unfit  # an ended trial doesn't change, but while records are replayed
    cache.forget(4)
    assert known()[4].unfit
    cache.forget(3)
    assert 3 not in known()
    assert calls == [4, 7, 4, 4, 4]


def test_evidence_holds_the_same_in_columns_and_a_copy_stays_as_it_is():
    rng = np.random.default_rng(0)
    trials = [
        ObservedTrial(
            params={"x": n},
            values={m: float(rng.random()) for m in (1, 3, 9, 27) if rng.random() < 0.5},
            running=bool(rng.random() < 0.3),
            unfit=bool(rng.random() < 0.2),
            tried=bool(rng.random() < 0.8),
        )
        for n in range(200)
    ]
    marks = (1, 3, 9)
    grown = Evidence(marks, trials[:150])
    for trial in trials[150:]:
        grown.append(trial)
    grown.replace(7, trials[8])
    trials[7] = trials[8]
    assert list(grown) == trials
    assert grown[-1] is trials[-1]
    assert grown[3:5] == trials[3:5]
    table = [[trial.values.get(mark, np.nan) for mark in marks] for trial in trials]
    np.testing.assert_array_equal(grown.table, table)
    for name in ("unfit", "running", "tried"):
        assert getattr(grown, name).tolist() == [getattr(trial, name) for trial in trials]
    copy = grown.copy()
    grown.replace(0, seen(0.9, unfit=True))
    grown.append(seen(0.8))
    assert list(copy) == trials
    np.testing.assert_array_equal(copy.table, table)
    copy.append(trials[0])
    assert len(copy) == 201
    assert learning_curves.as_evidence(copy, marks) is copy
    assert learning_curves.as_evidence(copy, (1, 3)).table.shape == (201, 2)
