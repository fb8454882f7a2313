import optuna
import pytest

from search.proposing import STARTUP_TRIALS, Proposer
from search.space import find
from trainables.config import ConfigError


def test_the_preview_is_what_a_study_proposes():
    proposer = Proposer(find("demo"), {"epochs": 4}, seed=3)
    preview, _ = proposer.preview(STARTUP_TRIALS)
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(proposer.baseline_params())
    for number in range(STARTUP_TRIALS):
        study.sampler = proposer.sampler(number)
        trial = study.ask()
        assert proposer.propose(trial)[1] == preview[number]
        study.tell(trial, 0.1 * number)


def test_proposals_depend_on_the_seed():
    space = find("demo")
    first, second = (Proposer(space, {}, seed).preview(4)[0] for seed in (0, 1))
    assert first[0] == second[0]
    assert first[1:] != second[1:]


def test_a_fixed_field_is_neither_searched_nor_varied():
    proposer = Proposer(find("resnet50"), {"image_size": 80, "weights": "none"}, seed=0)
    configs, ranges = proposer.preview(20)
    assert "image_size" not in ranges
    assert {(c.image_size, c.weights) for c in configs} == {(80, "none")}
    assert "image_size" not in proposer.baseline_params()


def test_a_fixed_field_that_breaks_a_rule_is_refused():
    with pytest.raises(ConfigError, match="lr must be > 0"):
        Proposer(find("demo"), {"lr": -1.0}, seed=0).preview(1)
    with pytest.raises(ConfigError, match="did you mean dropout"):
        Proposer(find("demo"), {"dropuot": 0.1}, seed=0).preview(1)


def test_steps_leave_no_crumbs():
    configs, _ = Proposer(find("demo"), {}, seed=0).preview(50)
    assert {c.dropout for c in configs} <= {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}
