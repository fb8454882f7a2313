import random
from dataclasses import fields

import pytest

from search.config.options import SearchOptions
from search.early_stopping import detection
from search.early_stopping.decision import Rules, decide_ending, make_rules
from tests.search.study_on_curves import metrics


def test_a_loss_that_is_not_finite_diverged():
    assert detection.find_divergence([metrics(1, 0.1), metrics(2, 0.1, loss=None)], 20)


@pytest.mark.parametrize(
    ("losses", "diverges"),
    [
        ([3.0, 1.0, 3.5], True),  # 3.5 times the lowest, above ln(20) = 2.996
        ([3.0, 0.5, 2.9], False),  # above three times the lowest, but below chance level
        ([3.0, 2.0, 5.9], False),  # below three times the lowest
        ([8.0], False),  # the first epoch has nothing to compare with
    ],
)
def test_a_loss_that_explodes_diverged(losses, diverges):
    epochs = [metrics(e, 0.1, loss=loss) for e, loss in enumerate(losses, 1)]
    assert bool(detection.find_divergence(epochs, 20)) is diverges


def curve(vals, gaps):
    """Epochs 1, 2, … with these val_top1 and gaps; one gap stands for all epochs."""
    gaps = gaps if isinstance(gaps, list) else [gaps] * len(vals)
    return [metrics(e, v, gap=g) for e, (v, g) in enumerate(zip(vals, gaps, strict=True), 1)]


def stop(epochs, max_gap, patience):
    """The epoch after which a trial is stopped for overfitting; `None` for never."""
    seen = (epochs[:e] for e in range(1, len(epochs) + 1))
    return next((len(s) for s in seen if detection.find_overfitting(s, max_gap, patience)), None)


TURNS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.45, 0.44, 0.43, 0.42, 0.41]


def test_overfitting_stops_when_val_has_turned():
    # Best after 5, so stale for 3 after 8; but epochs 6-8 have a mean of 0.44, 3-5 of 0.4.
    # After 9: epochs 7-9 have 0.43, 4-6 have 0.45.
    epochs = curve(TURNS, 0.3)
    assert stop(epochs, 0.2, 3) == 9
    said = detection.find_overfitting(epochs[:9], 0.2, 3)
    assert said == "gap 0.300 > 0.2 for 3 epochs, no better val_top1 for 4"


def test_a_best_value_in_the_first_epoch_is_all_there_is_to_compare_with():
    assert stop(curve([0.5, 0.4, 0.4, 0.4], 0.3), 0.2, 3) == 4
    assert stop(curve([0.5, 0.4, 0.4, 0.4], 0.3), 0.2, 4) is None


def test_overfitting_needs_the_gap_in_each_of_the_epochs():
    assert stop(curve(TURNS, 0.2), 0.2, 3) is None  # not above
    assert stop(curve(TURNS, [0.1] * 7 + [0.3] * 3), 0.2, 3) == 10
    assert stop(curve(TURNS, [0.3] * 8 + [0.1, 0.3]), 0.2, 3) is None


def test_a_creeping_val_is_no_overfitting_however_wide_the_gap():
    rising = [0.40 + 0.001 * e for e in range(60)]
    assert stop(curve(rising, 0.5), 0.05, 1) is None


def test_a_lucky_epoch_is_no_overfitting():
    # The fourth is never reached again, but the mean of each five is above that of the five before.
    vals = [0.40, 0.41, 0.42, 0.47, 0.43, 0.44, 0.45, 0.455, 0.46, 0.46, 0.465, 0.465]
    assert stop(curve(vals, 0.4), 0.05, 5) is None


@pytest.mark.parametrize(("noise", "most"), [(0.005, 0.0), (0.01, 0.15)])
def test_noise_on_a_rising_val_stops_few_trials(noise, most):
    """0.3 points an epoch, with the deviation of 10,000 and of 2,500 images at 50 %."""
    rng = random.Random(1)
    stops = [
        stop(curve([0.4 + 0.003 * e + rng.gauss(0, noise) for e in range(30)], 0.4), 0.05, 5)
        for _ in range(100)
    ]
    assert sum(s is not None for s in stops) <= most * len(stops)


def test_a_flat_val_without_a_gap_is_no_overfitting():
    rng = random.Random(1)
    vals = [0.5 + rng.gauss(0, 0.01) for _ in range(60)]
    assert stop(curve(vals, [rng.gauss(0.02, 0.01) for _ in vals]), 0.05, 5) is None


def test_a_plateau_ignores_rises_within_the_noise():
    flat = [metrics(e, 0.5 + 0.0005 * (e % 2)) for e in range(1, 7)]
    assert detection.find_plateau(flat, 5)
    assert detection.find_plateau(flat, 6) is None
    slow = [metrics(e, 0.5 + 0.001 * e) for e in range(1, 12)]  # adds up to progress
    assert detection.find_plateau(slow, 5) is None


def test_every_rule_that_is_an_option_has_the_option_s_value():
    given = {
        "reduction_factor": 7, "max_gap": 0.11, "gap_patience": 13, "plateau_patience": 17,
        "min_gain": 0.02,
    }  # fmt: skip
    options = SearchOptions(space="demo", **given)
    rules = make_rules(options, epochs=30, grace=2, num_classes=5)
    assert (rules.epochs, rules.grace, rules.num_classes, rules.factor) == (30, 2, 5, 7)
    shared = {f.name for f in fields(Rules)} & {f.name for f in fields(SearchOptions)}
    shared -= {"epochs", "grace", "objectives"}  # resolved before: the plan's own
    assert shared == set(given) - {"reduction_factor"}
    assert {name: getattr(rules, name) for name in shared} == {n: given[n] for n in shared}


def test_only_the_rungs_are_left_where_no_rule_looks_at_a_trial_alone():
    options = SearchOptions(space="demo", max_gap=0.11, plateau_patience=17)
    rules = make_rules(options, epochs=30, grace=2, num_classes=5).only_rungs()
    overfits = [metrics(epoch, 0.2, gap=0.7) for epoch in range(1, 25)]
    ending = decide_ending(
        overfits, rules, full_epochs=30, is_baseline=False, compare=lambda: True,
        time_is_up=lambda: False,
    )  # fmt: skip
    assert ending is None
