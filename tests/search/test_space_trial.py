"""What a space may ask a trial for, and the sentence for whatever else Optuna's trials can do."""

from typing import Any

import optuna
import pytest

from search.space import Space, SpaceError, SpaceTrial, ask_space
from search.study.proposer import Proposer
from search.study.searched_ranges import Probe
from trainables.config import TrialConfig


def space_of(suggest: Any, **baseline: Any) -> Space:
    config = TrialConfig(network="resnet10", **baseline)
    return Space(summary="made", dataset="demo", baseline=config, suggest=suggest)


def faults(suggest: Any) -> list[str]:
    """What ten random configurations complain of, once each."""
    probes = Proposer(space_of(suggest), {}, 0).probe(10)
    return list(dict.fromkeys(fault for each in probes for fault in each.faults))


@pytest.mark.parametrize(
    ("use", "remedy"),
    [
        (lambda t: t.number, "trial.number; leave it out, because equal values are to give equal"),
        (lambda t: t.study, "trial.study; leave it out, because equal values"),
        (lambda t: t.user_attrs, "trial.user_attrs; leave it out"),
        (lambda t: t.set_user_attr("a", 1), "trial.set_user_attr; leave it out, because the rec"),
        (lambda t: t.report(0.5, 1), "trial.report; leave it out, because the search reports"),
        (lambda t: t.should_prune(), "trial.should_prune; leave it out, because the search"),
        (lambda t: t.suggest_uniform("lr", 0, 1), "write trial.suggest_float(name, low, high)."),
        (lambda t: t.suggest_loguniform("lr", 1, 2), "suggest_float(name, low, high, log=True)."),
        (lambda t: t.suggest_discrete_uniform("lr", 0, 1, 1), "float(name, low, high, step=q)."),
        (lambda t: t.suggest_flaot("lr", 0, 1), "did you mean suggest_float?"),
        (lambda t: t.ask(), "there are suggest_categorical, suggest_float, suggest_int, params"),
        (lambda t: t.suggest_float("lrr", 0, 1), "asks for 'lrr'; did you mean lr?"),
        (lambda t: t.suggest_int("units", 1, 2), "asks for 'units'; the fields are those of"),
        (lambda t: t.suggest_categorical("batchsize", [2]), "did you mean batch_size?"),
    ],
)
@pytest.mark.parametrize("kind", ["probe", "search"])
def test_each_habit_of_optuna_s_users_has_one_sentence(use: Any, remedy: str, kind: str) -> None:
    """The same one from the random configurations before a search and from its trials."""
    space = space_of(use)
    asked = Probe(0) if kind == "probe" else optuna.create_study().ask()
    with pytest.raises(SpaceError) as caught:
        ask_space(space, asked, {})
    (sentence,) = caught.value.errors
    assert remedy in sentence


def test_pruning_and_other_failures_name_the_line() -> None:
    def prune(_: Any) -> Any:
        raise optuna.TrialPruned

    with pytest.raises(SpaceError, match=r"raises TrialPruned, line \d+ of test_space_trial.py; "):
        ask_space(space_of(prune), optuna.create_study().ask(), {})
    with pytest.raises(SpaceError, match=r"division by zero, line \d+ of test_space_trial.py\)"):
        ask_space(space_of(lambda _: 1 / 0), optuna.create_study().ask(), {})
    with pytest.raises(SpaceError, match="but returns None; end it with `return values`"):
        ask_space(space_of(lambda _: None), optuna.create_study().ask(), {})


def test_what_is_asked_for_must_be_returned_as_it_is() -> None:
    def left_out(trial: Any) -> Any:
        return {"lr": trial.suggest_float("lr", 1e-4, 1e-2)} if trial.suggest_int(
            "head_width", 0, 8) else {"lr": 1e-3}  # fmt: skip

    assert ["leaves out head_width" in each for each in faults(left_out)] == [True]
    power = faults(lambda t: {"batch_size": 2 ** t.suggest_int("batch_size", 5, 8)})
    assert ["another one for batch_size; ask for the" in each for each in power] == [True]
    twice = faults(lambda t: {"lr": min(t.suggest_float("lr", 1, 2), t.suggest_float("lr", 1, 3))})
    assert twice == [
        "A trial must be asked for lr once, but is asked for it with 1 … 2 and with 1 … 3; keep "
        "one of them."
    ]
    assert faults(lambda t: {"lr": t.suggest_float("lr", 1, 2), "flip": True}) == []


def test_params_hold_the_fixed_ones_too() -> None:
    trial = SpaceTrial(optuna.create_study().ask(), {"optimizer": "sgd"})
    assert trial.suggest_categorical("optimizer", ["adamw"]) == "sgd"
    assert trial.suggest_int("head_width", 3, 3) == 3
    assert trial.params == {"optimizer": "sgd", "head_width": 3}
    assert set(trial.distributions) == {"head_width"}
    assert not hasattr(trial, "__wrapped__")


def test_a_baseline_without_a_parameter_s_value_is_named() -> None:
    sizes = space_of(lambda t: {"micro_batch_size": t.suggest_int("micro_batch_size", 4, 16)})
    with pytest.raises(SpaceError, match="but has none of micro_batch_size; give it one in Trial"):
        Proposer(sizes, {}, 0).baseline_errors()
    choice = space_of(lambda t: {"flip": t.suggest_categorical("flip", [True])})
    (error,) = Proposer(choice, {}, 0).baseline_errors()
    assert error.startswith("The range of flip must hold the baseline's False, but is one of True;")
