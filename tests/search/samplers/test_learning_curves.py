from dataclasses import replace

import numpy as np
import pytest

from results.records import StopReason, TrialRecord, TrialState
from search.samplers import learning_curves
from search.samplers.learning_curves import ObservedTrial, expected_ends
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


def test_what_a_trial_tells_is_found_once_and_anew_after_an_epoch_or_when_its_record_changes(
    monkeypatch,
):
    calls = []
    real = learning_curves.observe
    monkeypatch.setattr(
        learning_curves,
        "observe",
        lambda record, *rest: calls.append(record) or real(record, *rest),
    )
    cache, epochs = learning_curves.ObservationCache((1, 3)), [metrics(1, 0.25)]

    def known(record):
        (found,) = cache.of([record], {4: epochs}, lambda number: {4: 3}[number])
        return found

    running = TrialRecord(number=4, state=TrialState.RUNNING, params={"x": 1}, config={})
    assert known(running).values == {1: 0.25}
    assert known(running) is known(running)
    epochs += [metrics(2, 0.5), metrics(3, 0.75)]
    assert known(running).values == {1: 0.25, 3: 0.75}
    ended = replace(running, state=TrialState.COMPLETE)
    assert known(ended) is known(ended)
    diverged = replace(ended, state=TrialState.STOPPED, reason=StopReason.DIVERGED)
    assert known(diverged).unfit
    assert len(calls) == 4
