import random

from search.early_stopping.asha import REFERENCE, Rungs, rung_epochs


def test_levels_are_grace_times_powers_of_the_factor_below_the_last_epoch():
    assert rung_epochs(grace=1, factor=3, epochs=30) == (1, 3, 9, 27)
    assert rung_epochs(grace=2, factor=3, epochs=18) == (2, 6)
    assert rung_epochs(grace=5, factor=2, epochs=5) == ()


def test_between_rungs_every_trial_goes_on():
    rungs = Rungs(grace=2, factor=3, epochs=10)
    assert all(rungs.record(trial, 1, 0.0) for trial in range(10))
    assert rungs.recorded() == {2: 0, 6: 0}


def test_the_first_trial_passes_and_a_better_one_always_does():
    rungs = Rungs(grace=1, factor=3, epochs=9)
    decisions = [rungs.record(trial, 1, trial / 10) for trial in range(10)]
    assert all(decisions)


def test_a_trial_below_the_top_third_stops():
    rungs = Rungs(grace=1, factor=3, epochs=9)
    for trial, value in enumerate([0.9, 0.8, 0.7]):
        rungs.record(trial, 1, value)
    assert not rungs.record(3, 1, 0.6)  # 3 of 4 are better
    assert rungs.record(4, 1, 0.85)  # 1 of 5 is better
    assert not rungs.record(5, 1, 0.75)  # 3 of 6


def test_about_one_in_factor_passes_among_random_values():
    generator = random.Random(1)
    rungs = Rungs(grace=1, factor=4, epochs=10)
    passed = sum(rungs.record(trial, 1, generator.random()) for trial in range(4000))
    assert 0.23 < passed / 4000 < 0.29


def test_a_value_counts_once():
    rungs = Rungs(grace=1, factor=3, epochs=9)
    for _ in range(5):
        rungs.record(0, 1, 0.5)
    assert rungs.recorded() == {1: 1, 3: 0}


def test_equal_values_pass_together():
    rungs = Rungs(grace=1, factor=3, epochs=9)
    assert all(rungs.record(trial, 1, 0.5) for trial in range(9))


def rungs_beside_quick_starters(random_trials):
    """Random trials whose values are spread evenly over 0…1, then 40 that all start better."""
    rungs = Rungs(grace=1, factor=3, epochs=9, is_random=lambda trial: trial < random_trials)
    for trial in range(random_trials):
        rungs.record(trial, 1, trial / random_trials)
    for trial in range(100, 140):
        rungs.record(trial, 1, 0.95)
    return rungs


def test_a_slow_starter_passes_the_first_rung_if_random_trials_are_no_better():
    rungs = rungs_beside_quick_starters(REFERENCE)
    assert rungs.record(200, 1, 0.8)  # 41 of 49 are better, but 1 of 8 random ones
    assert rungs.record(201, 1, 0.65)  # 2 of 9, itself included
    assert not rungs.record(202, 1, 0.55)  # 3 of 9
    assert rungs.record(6, 1, 6 / REFERENCE)  # a random one is among those already


def test_few_random_trials_are_no_measure():
    assert not rungs_beside_quick_starters(REFERENCE - 1).record(200, 1, 0.8)


def test_only_the_first_rung_compares_with_random_trials():
    rungs = Rungs(grace=1, factor=3, epochs=9, is_random=lambda trial: trial < 20)
    for trial in range(20):
        rungs.record(trial, 3, trial / 20)
    for trial in range(100, 140):
        rungs.record(trial, 3, 0.95)
    assert not rungs.record(200, 3, 0.8)
