"""What rungs are worth that predict all, nothing, and the opposite, on curves made so."""

import math
import shlex
from random import Random

import pytest
from scipy.stats import spearmanr

from results.analysis.rung_worth import FEWEST, advise, rung_worths, worths_of_run
from results.records import StopReason, TrialRecord, TrialState
from search.config.command_line import parse, resolve
from search.early_stopping.asha import rung_epochs
from tests.search.study_on_curves import metrics

RUNGS, EPOCHS = (3, 9), 15


def curve(early: float, middle: float, late: float, epochs: int = EPOCHS) -> list[float]:
    values = [early] * 3 + [middle] * 6 + [late] * 6
    return values[:epochs]


def test_an_order_that_stays_is_worth_all() -> None:
    curves = [curve(0.1 + n / 100, 0.2 + n / 90, 0.3 + n / 80) for n in range(30)]
    worths = rung_worths(curves, RUNGS, EPOCHS)
    assert [(w.rung, w.later, w.trials, w.found) for w in worths] == [(3, 9, 30, 1), (9, 15, 30, 1)]
    for each in worths:
        assert each.correlation is not None
        assert each.correlation.mean == pytest.approx(1.0)
        assert each.correlation.low > 0.99
        assert not each.worthless
    assert advise(worths, "runs/a", {}) is None


def test_an_order_turned_round_is_worthless() -> None:
    curves = [curve(n / 100, -n / 100, -n / 90) for n in range(30)]
    first, second = rung_worths(curves, RUNGS, EPOCHS)
    assert first.correlation is not None
    assert first.correlation.mean == pytest.approx(-1.0)
    assert first.found == 0.0
    assert first.worthless
    assert not second.worthless
    advice = advise([first, second], "runs/a", {"space": "demo", "data": "my data"})
    assert advice == (
        "Among the 30 trials that passed the rung at epoch 3, their order there doesn't predict "
        f"that at epoch 9 (rank correlation {first.describe()}): begin a new search with "
        "`python -m search.run --space demo --epochs 15 --grace 9 --warm-start runs/a --data "
        "'my data'`."
    )
    given, errors = parse(shlex.split(advice.split("`")[1])[3:])
    options, more = resolve(given)
    assert errors + more == []
    assert (options.space, options.epochs, options.grace) == ("demo", EPOCHS, 9)
    assert (options.warm_start, options.data) == (("runs/a",), "my data")


def test_an_order_by_chance_is_worthless_once_enough_trials_show_it() -> None:
    draw = Random(1)
    curves = [curve(draw.random(), draw.random(), draw.random()) for _ in range(600)]
    few = rung_worths(curves[:20], RUNGS, EPOCHS)[0]
    assert few.correlation is not None
    assert few.correlation.low < 0 < few.correlation.high
    assert not few.worthless
    many = rung_worths(curves, RUNGS, EPOCHS)
    for each, at, then in zip(many, (2, 8), (8, 14), strict=True):
        r = spearmanr([c[at] for c in curves], [c[then] for c in curves])[0]
        assert each.correlation is not None
        assert each.correlation.mean == pytest.approx(r)
        half = 1.959964 * math.sqrt((1 + r * r / 2) / 597)
        assert each.correlation.high == pytest.approx(math.tanh(math.atanh(r) + half))
        assert each.worthless
        assert each.found == pytest.approx(1 / 3, abs=0.1)
    # No rung is left to begin at, so that the remedy is one at the last epoch, which stops nothing.
    assert f"--grace {EPOCHS} " in str(advise(many, "runs/a", {}))
    assert rung_epochs(grace=EPOCHS, factor=3, epochs=EPOCHS) == ()


def test_little_is_not_known_yet() -> None:
    few = [curve(n, -n, n) for n in range(FEWEST - 1)]
    stopped = [curve(n, -n, n, epochs=3) for n in range(50)]
    first = rung_worths([*few, *stopped], RUNGS, EPOCHS)[0]
    assert (first.trials, first.correlation, first.found) == (FEWEST - 1, None, None)
    assert first.describe() == "not known yet"
    assert not first.worthless
    equal = rung_worths([curve(0.1, n, n) for n in range(20)], RUNGS, EPOCHS)[0]
    assert equal.correlation is None
    assert not equal.worthless


def test_equal_values_share_their_ranks() -> None:
    early, late = [1, 1, 2, 2, 3, 3, 4, 5], [2, 1, 1, 3, 3, 4, 4, 4]
    pairs = zip(early, late, strict=True)
    found = rung_worths([curve(a, b, b) for a, b in pairs], (3,), 9)[0].correlation
    assert found is not None
    assert found.mean == pytest.approx(spearmanr(early, late)[0])


def test_a_run_s_rungs_are_those_that_stopped_trials_of_the_latest_length() -> None:
    def record(
        number: int, epochs: int, length: int, reason: StopReason | None = None
    ) -> TrialRecord:
        state = TrialState.STOPPED if reason else TrialState.COMPLETE
        config = {"epochs": length}
        return TrialRecord(
            number=number, state=state, params={}, config=config, reason=reason, epochs=epochs
        )

    made = [record(n, 9, 9) for n in range(10)] + [record(10, 1, 9, StopReason.RUNG)]
    made += [record(n, 15, 15) for n in range(11, 20)] + [record(20, 3, 15, StopReason.RUNG)]
    trials = {each.number: each for each in made}
    epochs = {
        n: [metrics(epoch, n / 100) for epoch in range(1, each.epochs + 1)]
        for n, each in trials.items()
    }
    found = worths_of_run(trials, epochs)
    assert [(w.rung, w.later, w.trials) for w in found] == [(3, 15, 9)]
    complete = {n: each for n, each in trials.items() if each.reason is None}
    assert worths_of_run(complete, epochs) == []
    unproposed = TrialRecord(number=21, state=TrialState.FAILED, params={}, config={})
    assert worths_of_run(trials | {21: unproposed}, epochs | {21: []}) == found
    assert worths_of_run({21: unproposed}, {21: []}) == worths_of_run({}, {}) == []
