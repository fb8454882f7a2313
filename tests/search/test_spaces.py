"""Every space that comes with the project, found by itself."""

from dataclasses import fields

import optuna
import pytest

from search.proposing import Proposer
from search.space import SpaceError, find, names, suggested
from trainables.config import TrialConfig


@pytest.fixture(params=names())
def space(request):
    return find(request.param)


def test_the_baseline_lies_inside_every_range(space):
    study = optuna.create_study()
    study.enqueue_trial(Proposer(space, {}, 0).baseline_params())
    trial = study.ask()
    values = suggested(space, trial)
    assert TrialConfig.from_dict(space.baseline.to_dict() | values) == space.baseline
    for name, distribution in trial.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(trial.params[name])), name


def test_a_hundred_samples_are_valid_and_differ(space):
    configs, ranges = Proposer(space, {}, 1).preview(100)
    assert len(set(configs)) > 95
    assert set(ranges) <= {field.name for field in fields(TrialConfig)}


def test_it_has_a_summary_of_one_line(space):
    assert 10 < len(space.summary) < 100
    assert "\n" not in space.summary


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(SpaceError, match="did you mean resnet50"):
        find("resnet5O")


def test_a_file_of_the_users_is_a_space_too(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from search.space import Space\n"
        "from trainables.config import TrialConfig\n"
        "SPACE = Space(summary='mine', dataset='folder',\n"
        "              baseline=TrialConfig(network='resnet18'),\n"
        "              suggest=lambda trial: {'lr': trial.suggest_float('lr', 1e-4, 1e-2)})\n"
    )
    assert find(str(path)).dataset == "folder"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SPACE = 3", r"must define SPACE = Space"),
        ("import nothing_like_this", "ModuleNotFoundError"),
        ("def", "SyntaxError"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(SpaceError, match=message):
        find(str(path))
    with pytest.raises(SpaceError, match="doesn't exist"):
        find(str(tmp_path / "none.py"))


@pytest.mark.parametrize(
    ("suggest", "message"),
    [
        ("lambda t: {'lr': t.suggest_float('lrr', 1e-4, 1e-2)}", "lrr"),
        ("lambda t: 1 / 0", "ZeroDivisionError"),
        ("lambda t: {'flip': t.suggest_categorical('flip', [True])}", "flip|False"),
    ],
)
def test_a_space_that_fails_when_it_is_asked_is_named(tmp_path, suggest, message):
    path = tmp_path / "mine.py"
    path.write_text(
        "from search.space import Space\n"
        "from trainables.config import TrialConfig\n"
        "SPACE = Space(summary='mine', dataset='folder',\n"
        "              baseline=TrialConfig(network='resnet18'),\n"
        f"              suggest={suggest})\n"
    )
    with pytest.raises(SpaceError, match=message):
        Proposer(find(str(path)), {}, 0).preview(3)
