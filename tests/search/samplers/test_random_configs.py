import math
from random import Random

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.samplers.random_configs import RandomConfiguration, draw_value


def drawn(distribution, count=4000):
    rng = Random(0)
    return [draw_value(distribution, rng) for _ in range(count)]


def test_each_value_of_a_step_comes_as_often():
    values = drawn(FloatDistribution(0.0, 0.5, step=0.125))
    assert {round(8 * v) for v in values} == set(range(5))
    for eighth in range(5):
        assert sum(round(8 * v) == eighth for v in values) == pytest.approx(800, abs=100)
    assert set(drawn(IntDistribution(2, 10, step=4))) == {2, 6, 10}


def test_a_logarithmic_range_has_as_much_in_every_decade():
    values = drawn(FloatDistribution(1e-4, 1e-1, log=True))
    assert min(values) >= 1e-4
    assert max(values) <= 1e-1
    for decade in (-4, -3, -2):
        inside = sum(decade <= math.log10(v) < decade + 1 for v in values)
        assert inside == pytest.approx(4000 / 3, abs=120)


def test_whole_numbers_on_a_logarithm_reach_both_ends():
    values = drawn(IntDistribution(1, 4, log=True))
    # From 0.5 to 4.5: log(3), log(5/3), log(7/5), log(9/7) of log(9).
    for value, share in ((1, 3), (2, 5 / 3), (3, 7 / 5), (4, 9 / 7)):
        expected = 4000 * math.log(share) / math.log(9)
        assert values.count(value) == pytest.approx(expected, abs=120)


def test_a_drawing_notes_what_it_was_asked_and_answers_alike():
    drawing = RandomConfiguration(Random(3))
    choice = drawing.suggest_categorical("flip", [False, True])
    rate = drawing.suggest_float("lr", 0.1, 0.2)
    width = drawing.suggest_int("width", 1, 1000)
    assert drawing.suggest_float("lr", 0.1, 0.2) == rate
    assert drawing.params == {"flip": choice, "lr": rate, "width": width}
    assert drawing.distributions["flip"] == CategoricalDistribution([False, True])
    assert drawing.distributions["lr"] == FloatDistribution(0.1, 0.2)


def test_a_drawing_that_keeps_the_baseline_answers_with_it():
    drawing = RandomConfiguration(Random(0), {"lr": 0.15}, keep_probability=1.0)
    assert drawing.suggest_float("lr", 0.1, 0.2) == 0.15
    assert drawing.suggest_int("width", 1, 1000) != drawing.suggest_int("depth", 1, 1000)


def test_choices_that_python_takes_for_equal_stay_what_they_are():
    drawing = RandomConfiguration(Random(1))
    drawing.suggest_categorical("flag", [False, True])
    drawing.suggest_categorical("count", [0, 1])
    drawing.suggest_categorical("share", [0.0, 1.0])
    assert {name: type(value) for name, value in drawing.params.items()} == {
        "flag": bool, "count": int, "share": float,
    }  # fmt: skip
