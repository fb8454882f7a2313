from random import Random

import numpy as np
import optuna
import pytest

from results.analysis.rung_values import quiet_optuna
from search.samplers.gp_sampler import (
    GaussianProcessSampler,
    choose_candidate,
    expected_improvement,
    first_untried,
    is_random_trial,
)
from search.samplers.learning_curves import ObservedTrial
from search.samplers.random_configs import RandomConfiguration
from search.samplers.random_sampler import make_random_sampler
from search.samplers.source import (
    MAX_KEEP_PROBABILITY,
    STARTUP_TRIALS,
    ConfigurationSource,
    derived_seed,
)


def ask(trial):
    """Two numbers and a choice that counts for 0.2; a third number beside one of its values."""
    params = {"x": trial.suggest_float("x", 0.0, 1.0), "y": trial.suggest_float("y", 0.0, 1.0)}
    params["kind"] = trial.suggest_categorical("kind", ["good", "bad"])
    if params["kind"] == "good":
        params["extra"] = trial.suggest_int("extra", 0, 9)
    return params


def value(params):
    return 0.7 - (params["x"] - 0.3) ** 2 + 0.2 * (params["kind"] == "good")


def evidence(count, **kind):
    rng = Random(5)
    made = []
    for _ in range(count):
        drawing = RandomConfiguration(rng)
        ask(drawing)
        made.append(ObservedTrial(params=drawing.params, values={3: value(drawing.params)}, **kind))
    return made


def chosen(known, seed):
    return choose_candidate(
        ConfigurationSource(ask), known, (3,), np.random.default_rng(seed)
    ).params


def test_the_model_chooses_better_configurations_than_chance():
    known = evidence(30)
    values = [value(chosen(known, seed)) for seed in range(10)]
    # Random ones: 0.7 - 0.1233 + 0.1 on average, the best possible 0.9.
    assert np.mean([value(e.params) for e in known]) < 0.75
    assert np.mean(values) > 0.87


def test_a_proposal_keeps_its_distance_from_what_has_been_tried():
    def square(trial):
        return {name: trial.suggest_float(name, 0.0, 1.0) for name in ("x", "y")}

    rng = np.random.default_rng(5)
    tried = rng.random((30, 2))
    known = [
        ObservedTrial(params={"x": x, "y": y}, values={3: -((x - 0.3) ** 2) - (y - 0.3) ** 2})
        for x, y in tried
    ]
    for seed in range(10):
        params = choose_candidate(
            ConfigurationSource(square), known, (3,), np.random.default_rng(seed)
        ).params
        distances = np.hypot(tried[:, 0] - params["x"], tried[:, 1] - params["y"])
        # 400 points in the unit square lie 0.5 / sqrt(400) = 0.025 from their nearest, on average.
        assert 0.8 * 0.02 < distances.min() < 0.4


def test_what_is_unfit_is_avoided():
    known = [
        ObservedTrial(params=e.params, values={}, unfit=True) if e.params["x"] > 0.2 else e
        for e in evidence(40)
    ]
    assert np.mean([chosen(known, seed)["x"] < 0.3 for seed in range(10)]) >= 0.9


def test_workers_that_ask_together_are_sent_apart():
    known = evidence(30)
    first = chosen(known, 0)
    running = [*known, ObservedTrial(params=first, values={}, running=True)]
    assert chosen(running, 0) != first


def test_nothing_is_learnt_from_too_little():
    rng = np.random.default_rng(0)
    assert choose_candidate(ConfigurationSource(ask), evidence(4), (3,), rng) is None
    alike = [ObservedTrial(params=e.params, values={3: 0.5}) for e in evidence(20)]
    assert choose_candidate(ConfigurationSource(ask), alike, (3,), rng) is None
    assert (
        choose_candidate(ConfigurationSource(ask), evidence(20, running=True), (9,), rng) is None
    )  # none has come so far
    unfit = [ObservedTrial(params=e.params, values={}, unfit=True) for e in evidence(20)]
    assert choose_candidate(ConfigurationSource(ask), unfit, (3,), rng) is None


def test_candidates_too_near_are_left_out():
    points = np.array([[0.0, 0.0], [0.1, 0.0], [0.5, 0.5], [1.0, 1.0]])
    # Nearest others: 0.1, 0.1, 0.64, 0.71: mean 0.386, and 0.8 of it is 0.31.
    tried = np.array([[0.3, 0.3]])
    assert first_untried(points, tried) == 0
    assert first_untried(points[[2, 3, 0, 1]], tried) == 1  # 0.5, 0.5 is 0.28 away
    assert first_untried(points[[2, 3, 0, 1]], np.zeros((0, 2))) == 0


def test_where_all_is_near_the_first_of_the_farthest_tenth_is_left():
    points = np.linspace(0, 1, 20)[:, None]
    tried = np.linspace(0, 1, 20)[:, None] + 0.001
    tried[7] += 0.01
    tried[11] += 0.02
    assert first_untried(points, tried) == 7
    assert first_untried(points[::-1], tried[::-1]) == 19 - 11


def test_a_hundred_candidates_too_near_do_not_hide_the_next_one():
    rng = np.random.default_rng(0)
    tried = rng.random((100, 2))
    points = np.concatenate([tried, rng.random((200, 2)) + 2.0])
    assert first_untried(points, tried) == 100


def test_expected_improvement_is_what_many_draws_give():
    draws = np.random.default_rng(0).normal(0.4, 0.2, 400_000)
    simulated = np.maximum(draws - 0.5, 0).mean()
    found = expected_improvement(np.array([0.4]), np.array([0.2]), 0.5)[0]
    assert found == pytest.approx(simulated, rel=0.01)


def proposals(seed, known):
    with quiet_optuna():
        study = optuna.create_study()
    made = []
    for number in range(STARTUP_TRIALS, STARTUP_TRIALS + 4):
        study.sampler = GaussianProcessSampler(
            ConfigurationSource(ask), 100 * seed + number, number, known, (3,)
        )
        made.append(ask(study.ask()))
    return made


def test_seed_and_evidence_decide_what_is_proposed():
    known = evidence(20)
    assert proposals(0, known) == proposals(0, known)
    assert proposals(0, known) != proposals(1, known)
    assert proposals(0, known) != proposals(0, known[:-5])


def test_the_first_trials_are_random_whatever_is_known():
    with quiet_optuna():
        study = optuna.create_study()
    made = []
    for known in (evidence(30), []):
        study.sampler = GaussianProcessSampler(
            ConfigurationSource(ask), 1, STARTUP_TRIALS - 1, known, (3,)
        )
        made.append(ask(study.ask()))
    assert made[0] == made[1]


def test_a_trial_counts_as_random_if_its_sampler_asks_no_model():
    source, known = ConfigurationSource(ask), evidence(30)
    random = []
    for number in range(STARTUP_TRIALS - 2, 120):
        seed = derived_seed(7, number)
        sampler = GaussianProcessSampler(source, seed, number, known, (3,))
        with quiet_optuna():
            study = optuna.create_study(sampler=sampler)
        drawn = ask(study.ask()) == source.draw(Random(seed)).params
        assert is_random_trial(GaussianProcessSampler, number, derived_seed(7, number)) == drawn
        random += [number] if drawn else []
    assert random[:2] == [STARTUP_TRIALS - 2, STARTUP_TRIALS - 1]
    assert 5 <= len(random) <= 20  # one in ten
    assert is_random_trial(make_random_sampler, 60, derived_seed(7, 60))


def test_configurations_keep_some_of_the_baseline_s_values():
    source = ConfigurationSource(ask, {"x": 0.5, "kind": "good"})
    rng = Random(0)
    drawn = [source.draw(rng).params for _ in range(2000)]
    kept = [params["x"] == 0.5 for params in drawn]
    assert np.mean(kept) == pytest.approx(MAX_KEEP_PROBABILITY / 2, abs=0.03)
    # The other half of the choices is drawn, and half of those are the baseline's too.
    good = [params["kind"] == "good" for params in drawn]
    assert np.mean(good) == pytest.approx(0.5 + MAX_KEEP_PROBABILITY / 4, abs=0.03)
    assert len({params["y"] for params in drawn}) == 2000
    # Some configurations keep much and others nothing: more often both or none than by chance.
    both = np.mean([x and g for x, g in zip(kept, good, strict=True)])
    assert both > np.mean(kept) * np.mean(good) + 0.01
