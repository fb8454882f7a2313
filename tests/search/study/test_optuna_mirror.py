"""What Optuna is asked and told of a search, also of one that was killed in between."""

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState as OptunaState

from results.records import TrialRecord, TrialState
from search.study.optuna_mirror import OptunaMirror
from search.study.optuna_patches import PreferringTrial, contains


def opened(storage, records=()):
    mirror = OptunaMirror(storage, "run", None, ("val_top1",))
    mirror.follow({record.number: record for record in records})
    return mirror


def ask(mirror, queued=None):
    return mirror.ask(RandomSampler(seed=mirror.next_number()), queued)


def record(number, state=TrialState.RUNNING, **more):
    return TrialRecord(number=number, state=state, params={}, config={"epochs": 9}, **more)


def test_a_trial_that_was_asked_for_and_not_recorded_comes_first_with_the_same_parameters():
    storage = InMemoryStorage()
    mirror = opened(storage)
    ask(mirror)
    killed = ask(mirror)
    drawn = killed.suggest_float("lr", 0.0, 1.0)
    resumed = opened(storage, [record(0)])
    assert resumed.next_number() == killed.number == 1
    again = ask(resumed, {"lr": 0.5})  # what is queued now is for a new trial
    assert (again.number, again.suggest_float("lr", 0.0, 1.0)) == (1, drawn)
    assert resumed.next_number() == 2
    assert ask(resumed, {"lr": 0.5}).suggest_float("lr", 0.0, 1.0) == 0.5


def test_an_epoch_that_optuna_has_heard_is_not_reported_again(recwarn):
    storage = InMemoryStorage()
    mirror = opened(storage)
    ask(mirror)
    mirror.report(0, 0.25, 1)
    resumed = opened(storage, [record(0)])
    resumed.report(0, 0.9, 1)
    resumed.report(0, 0.5, 2)
    assert resumed.study.trials[0].intermediate_values == {1: 0.25, 2: 0.5}
    assert not list(recwarn)


def test_a_trial_is_open_until_its_end_is_told():
    mirror = opened(InMemoryStorage())
    ask(mirror)
    ask(mirror)
    mirror.tell(record(0, TrialState.COMPLETE, last_val_top1=0.75, epochs=9), 9)
    mirror.refuse(1, same_as=0)
    assert not mirror.is_open(0)
    assert not mirror.is_open(1)
    complete, refused = mirror.study.trials
    assert (complete.state, complete.value) == (OptunaState.COMPLETE, 0.75)
    assert (refused.state, refused.user_attrs) == (OptunaState.FAIL, {"same_as": 0})


@pytest.mark.parametrize(
    ("value", "inside"), [(0.5, True), (0.55, False), (1.5, False), ("much", False)]
)
def test_a_value_lies_in_a_range_and_on_its_steps(value, inside):
    tenths = optuna.distributions.FloatDistribution(0.0, 1.0, step=0.1)
    assert contains(tenths, value) is inside


def test_a_preferred_value_outside_of_its_range_is_the_other_one():
    trial = PreferringTrial({"lr": 0.7, "dropout": 0.9}, {"lr": 0.1, "dropout": 0.2})
    assert trial.suggest_float("lr", 0.0, 1.0) == 0.7
    assert trial.suggest_float("dropout", 0.0, 0.5) == 0.2
    assert trial.params == {"lr": 0.7, "dropout": 0.2}
