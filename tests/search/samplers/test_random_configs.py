import hashlib
import math
import statistics
from dataclasses import replace
from random import Random

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from results.analysis.searched_ranges import Prior
from search.samplers.random_configs import NEAR, RandomConfiguration, draw_near, draw_value
from search.samplers.source import FOLLOWING, STARTUP_TRIALS, ConfigurationSource
from search.spaces import find_space
from search.study.proposer import Proposer


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


def test_numbers_near_a_value_lie_around_it_within_the_range():
    rng = Random(0)

    def near(value, distribution):
        return [draw_near(value, distribution, NEAR, rng) for _ in range(2000)]

    found = near(2.0, FloatDistribution(0.0, 4.0))
    assert statistics.mean(found) == pytest.approx(2.0, abs=0.03)
    assert statistics.stdev(found) == pytest.approx(4.0 * NEAR, rel=0.06)
    logs = [math.log10(each) for each in near(1e-3, FloatDistribution(1e-5, 1e-1, log=True))]
    assert statistics.mean(logs) == pytest.approx(-3.0, abs=0.03)
    assert statistics.stdev(logs) == pytest.approx(4.0 * NEAR, rel=0.06)
    assert set(near(8, IntDistribution(2, 10, step=2))) == {6, 8, 10}
    assert {type(each) for each in near(3, IntDistribution(1, 9, log=True))} == {int}
    assert set(near(0.2, FloatDistribution(0.0, 0.4, step=0.2))) == {0.0, 0.2, 0.4}
    edge = near(99.0, FloatDistribution(0.0, 1.0))  # beyond this trial's range
    assert 0.5 < min(edge) < max(edge) <= 1.0
    assert near(True, CategoricalDistribution([False, True])) == [True] * 2000


def ask(drawing):
    drawing.suggest_float("lr", 0.0, 1.0)
    drawing.suggest_categorical("kind", ["a", "b", "c", "d"])
    drawing.suggest_float("dropout", 0.0, 1.0)


PRIORS = {"lr": Prior(0.3, 0.5), "kind": Prior("c", 0.8)}
BASELINE = {"lr": 0.9, "kind": "a", "dropout": 0.25}


def test_what_the_priors_believe_and_else_the_baseline():
    source = ConfigurationSource(ask, BASELINE, priors=PRIORS)
    assert source.believed(5) == {"lr": 0.3, "kind": "c", "dropout": 0.25}
    assert ConfigurationSource(ask, BASELINE).believed(5) is None
    seen = {ConfigurationSource(ask, None, priors=PRIORS).believed(n)["dropout"] for n in range(9)}
    assert len(seen) == 9


@pytest.mark.parametrize(
    "priors", [{"lr": Prior(0.9, 0.5)}, {"flip": Prior(True, 0.5)}, {"lr": Prior(0.9 + 1e-16, 1.0)}]
)
def test_the_baseline_is_not_believed_in_once_more(priors):
    """Its own value is believed in, or a parameter that is fixed and so isn't asked for."""
    assert ConfigurationSource(ask, BASELINE, priors=priors).believed(5) is None


@pytest.mark.parametrize("number", [2, STARTUP_TRIALS, 9 * STARTUP_TRIALS])
def test_fewer_configurations_follow_the_priors_with_every_trial(number):
    source = ConfigurationSource(ask, None, priors=PRIORS, number=number)
    drawn = [source.draw(Random(seed)).params for seed in range(4000)]
    share = FOLLOWING / (1 + number / STARTUP_TRIALS) * 0.8
    found = sum(params["kind"] == "c" for params in drawn) / len(drawn)
    assert found == pytest.approx(share + (1 - share) / 4, abs=0.025)


def test_without_a_prior_the_configurations_are_those_of_before():
    """The checksum is that of the configurations which the search drew before it knew priors."""
    space = replace(find_space("mini_alexnet"), prior={})
    configs, ranges = Proposer(space, {}, 7).preview(10)
    drawn = repr([[getattr(config, name) for name in sorted(ranges)] for config in configs])
    assert hashlib.sha256(drawn.encode()).hexdigest()[:16] == "240ff0a850fe1c01"
    plain = ConfigurationSource(ask, BASELINE)
    unsure = {"lr": Prior(0.3, 0.0)}
    for number in (0, 2, 20):
        known = ConfigurationSource(ask, BASELINE, number=number)
        assert known.draw(Random(number)).params == plain.draw(Random(number)).params
        lost = ConfigurationSource(ask, BASELINE, priors=unsure, number=number).draw(Random(number))
        assert lost.params["lr"] != 0.3


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.0, 0.3, 0.1), (0.1, 0.7, 0.2), (0.0, 0.6, 0.2)]
)
def test_the_top_of_a_stepped_range_can_be_believed_and_drawn(low, high, step):
    assert low + step * round((high - low) / step) > high  # by a rounding error
    distribution, rng = FloatDistribution(low, high, step=step), Random(0)
    assert draw_near(high, distribution, 0.0, rng) == high
    drawn = {draw_near(high, distribution, NEAR, rng) for _ in range(200)}
    assert high in drawn
    assert max(drawn) == high
