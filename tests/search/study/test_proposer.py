from typing import Any

import optuna
import pytest

from search.samplers.source import STARTUP_TRIALS
from search.space import Space
from search.spaces import find_space
from search.study.proposer import Proposer
from trainables.config import ConfigError, TrialConfig


def choices(trial: optuna.Trial) -> dict[str, Any]:
    """Conditional parameters, each asked for only where it counts."""
    optimizer = trial.suggest_categorical("optimizer", ["adam", "adamw", "sgd"])
    values: dict[str, Any] = {"optimizer": optimizer}
    if optimizer == "sgd":
        values["momentum"] = trial.suggest_float("momentum", 0.0, 0.99)
    values["policy"] = trial.suggest_categorical("policy", ["none", "trivial", "rand"])
    if values["policy"] == "rand":
        values["policy_magnitude"] = trial.suggest_int("policy_magnitude", 3, 15)
    values["schedule"] = trial.suggest_categorical("schedule", ["cosine", "cyclical", "step"])
    if values["schedule"] == "cyclical":
        values["cycles"] = trial.suggest_int("cycles", 1, 5)
    if values["schedule"] == "step":
        values["step_epochs"] = trial.suggest_int("step_epochs", 3, 12)
    return values


ADAM = TrialConfig(network="resnet10", optimizer="adam")
SGD = TrialConfig(network="resnet10", optimizer="sgd", momentum=0.9)


def space_of(baseline: TrialConfig) -> Space:
    return Space(summary="choices", dataset="demo", baseline=baseline, suggest=choices)


def test_the_preview_is_what_a_study_proposes():
    proposer = Proposer(find_space("demo"), {"epochs": 4}, seed=3)
    preview, _ = proposer.preview(STARTUP_TRIALS)
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(proposer.baseline_params())
    study.enqueue_trial(proposer.believed_params())
    for number in range(STARTUP_TRIALS):
        study.sampler = proposer.sampler(number)
        trial = study.ask()
        assert proposer.propose(trial)[1] == preview[number]
        study.tell(trial, 0.1 * number)


def test_proposals_depend_on_the_seed():
    space = find_space("demo")
    first, second = (Proposer(space, {}, seed).preview(4)[0] for seed in (0, 1))
    assert first[0] == second[0]
    assert first[1:] != second[1:]


def test_a_fixed_field_is_neither_searched_nor_varied():
    proposer = Proposer(find_space("resnet50"), {"image_size": 80, "weights": "none"}, seed=0)
    configs, ranges = proposer.preview(20)
    assert "image_size" not in ranges
    assert {(c.image_size, c.weights) for c in configs} == {(80, "none")}
    assert "image_size" not in proposer.baseline_params()


def test_a_recorded_trial_goes_on_with_the_searchs_own_weights():
    elsewhere = TrialConfig(network="resnet18", weights="/elsewhere/weights.pt").to_dict()
    for fixed in ("none", "imagenet", "/here/weights.pt"):
        proposer = Proposer(find_space("resnet18"), {"weights": fixed}, seed=0)
        assert proposer.restore(elsewhere).weights == fixed


def test_a_fixed_field_that_breaks_a_rule_is_refused():
    with pytest.raises(ConfigError, match="lr must be > 0"):
        Proposer(find_space("demo"), {"lr": -1.0}, seed=0).preview(1)
    with pytest.raises(ConfigError, match="did you mean dropout"):
        Proposer(find_space("demo"), {"dropuot": 0.1}, seed=0).preview(1)


def test_steps_leave_no_crumbs():
    configs, _ = Proposer(find_space("demo"), {}, seed=0).preview(50)
    assert {c.dropout for c in configs} <= {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}


@pytest.mark.parametrize("baseline", [ADAM, SGD])
def test_conditional_parameters_are_asked_only_where_they_count(baseline):
    proposer = Proposer(space_of(baseline), {}, seed=0)
    study = optuna.create_study()
    study.enqueue_trial(proposer.baseline_params())
    seen = set()
    for number in range(40):
        study.sampler = proposer.sampler(number)
        params, config = proposer.propose(study.ask())
        for owner, value, name in (
            ("optimizer", "sgd", "momentum"),
            ("policy", "rand", "policy_magnitude"),
            ("schedule", "cyclical", "cycles"),
            ("schedule", "step", "step_epochs"),
        ):
            counts = params[owner] == value
            assert (name in params) == (name in config.to_dict()) == counts
            assert getattr(config, name) == params.get(name)
            seen.add((name, counts))
        assert number or config == baseline
        study.tell(study.trials[-1].number, 0.5)
    assert len(seen) == 8


def test_what_is_fixed_holds_where_it_counts():
    proposer = Proposer(space_of(SGD), {"momentum": 0.5}, seed=0)
    configs, ranges = proposer.preview(30)
    assert "momentum" not in ranges
    assert {(c.optimizer == "sgd", c.momentum) for c in configs} == {(True, 0.5), (False, None)}
    with pytest.raises(ConfigError, match="momentum goes with optimizer=sgd only"):
        Proposer(space_of(SGD), {"momentum": 0.5, "optimizer": "adam"}, seed=0).preview(1)
    with pytest.raises(ConfigError, match="momentum goes with optimizer=sgd only"):
        Proposer(find_space("demo"), {"momentum": 0.5}, seed=0).preview(1)


def test_fixing_a_choice_drops_or_asks_for_what_hangs_on_it():
    dropped, ranges = Proposer(space_of(SGD), {"optimizer": "adam"}, seed=0).preview(5)
    assert {(c.optimizer, c.momentum) for c in dropped} == {("adam", None)}
    assert "momentum" not in ranges
    asked, ranges = Proposer(space_of(ADAM), {"optimizer": "sgd"}, seed=0).preview(5)
    assert all(c.momentum is not None for c in asked)
    assert "momentum" in ranges


@pytest.mark.parametrize(
    ("fixed", "name", "documented"),
    [
        ({"optimizer": "sgd"}, "momentum", 0.0),
        ({"policy": "rand"}, "policy_magnitude", 9),
        ({"schedule": "cyclical"}, "cycles", 1),
        ({"schedule": "step"}, "step_epochs", 7),
    ],
)
def test_what_hangs_on_a_fixed_choice_has_its_documented_value_in_the_baseline(
    fixed, name, documented
):
    for seed in range(3):
        configs, ranges = Proposer(space_of(ADAM), fixed, seed).preview(10)
        assert configs[0] == ADAM.but(**fixed, **{name: documented})
        assert name in ranges
        assert len({getattr(config, name) for config in configs}) > 2


def test_a_documented_value_outside_of_the_range_is_not_tried(recwarn):
    narrow = Space(
        summary="high momenta",
        dataset="demo",
        baseline=SGD.but(momentum=None),
        suggest=lambda trial: {"momentum": trial.suggest_float("momentum", 0.5, 0.99)},
    )
    proposer = Proposer(narrow, {}, seed=0)
    assert proposer.baseline_params() == {}
    assert 0.5 <= proposer.preview(1)[0][0].momentum <= 0.99
    assert not recwarn.list


def test_a_condition_that_a_space_forgets_is_refused():
    careless = Space(
        summary="momentum for all",
        dataset="demo",
        baseline=SGD,
        suggest=lambda trial: {
            "optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd"]),
            "momentum": trial.suggest_float("momentum", 0.0, 0.99),
        },
    )
    with pytest.raises(ConfigError, match="momentum goes with optimizer=sgd only"):
        Proposer(careless, {}, seed=0).preview(20)
