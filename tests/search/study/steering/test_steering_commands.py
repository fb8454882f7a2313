"""Which words are a command, and which configuration a user's values make."""

import pytest

from common.durations import as_duration, seconds_of
from search.spaces import find_space
from search.study.proposer import Proposer
from search.study.steering.commands import (
    ChangeBudget,
    Command,
    End,
    SetConcurrency,
    SteeringError,
    Stop,
    Try,
    read_command,
)
from search.study.steering.configurations import make_by_hand

DEMO = Proposer(find_space("demo"), {"batch_size": 32}, 0)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("stop 7", Stop(7)),
        ("try lr=2e-3 dropout=0.1", Try({"lr": "2e-3", "dropout": "0.1"})),
        ("try lr=2e-3 --from-baseline", Try({"lr": "2e-3"}, from_baseline=True)),
        ("budget +2h", ChangeBudget(added=True, seconds=7200.0)),
        ("budget 1h30m", ChangeBudget(added=False, seconds=5400.0)),
        ("budget +20 trials", ChangeBudget(added=True, trials=20)),
        ("budget +1 trial", ChangeBudget(added=True, trials=1)),
        ("budget 1.5 gpu-hours", ChangeBudget(added=False, gpu_hours=1.5)),
        ("concurrency 3", SetConcurrency(3)),
        ("end", End()),
    ],
)
def test_words_are_read(words: str, command: Command) -> None:
    assert read_command(words.split()) == command


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "A command must be one of stop, try, budget, concurrency, end, but got ''"),
        ("sotp 3", "did you mean stop?"),
        ("stop", "stop must be given as `stop TRIAL`, but got ''."),
        ("stop -1", "but got '-1'."),
        ("stop 1 2", "but got '1 2'."),
        ("try", "try must be given as `try NAME=VALUE ... [--from-baseline]`"),
        ("try lr", "but got 'lr'."),
        ("try lr=1 lr=2", "try must name a parameter once, but names lr 2 times"),
        ("budget", "budget must be given as `budget [+]DURATION"),
        ("budget 0s", "but got '0s'."),
        ("budget +0 trials", "but got '+0 trials'."),
        ("budget 1.5 trials", "but got '1.5 trials'."),
        ("budget -2h", "but got '-2h'."),
        ("budget inf gpu-hours", "but got 'inf gpu-hours'."),
        ("concurrency all", "concurrency must be given as `concurrency N`"),
        ("end now", "end must be given as `end`, but got 'now'."),
    ],
)
def test_other_words_are_refused(words: str, sentence: str) -> None:
    with pytest.raises(SteeringError) as refused:
        read_command(words.split())
    assert sentence in str(refused.value)


def test_what_isn_t_named_has_the_values_of_the_base() -> None:
    base = DEMO.baseline_params() | {"dropout": 0.3}
    params, config = make_by_hand(DEMO, {"lr": "4e-3"}, base)
    assert params == base | {"lr": 0.004}
    assert (config.lr, config.dropout, config.batch_size) == (0.004, 0.3, 32)


def test_a_value_of_the_base_that_lost_its_range_is_the_baseline_s() -> None:
    params, _ = make_by_hand(DEMO, {"lr": "4e-3"}, DEMO.baseline_params() | {"dropout": 7.0})
    assert params["dropout"] == DEMO.baseline_params()["dropout"]


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"lr": "5"}, "lr must lie in its range of 0.001 … 0.006, log, but got 5.0"),
        ({"lr": "fast"}, "lr must lie in its range of 0.001 … 0.006, log, but got 'fast'"),
        ({"drpout": "0.1"}, "drpout is not a parameter that this search varies; did you mean drop"),
        ({"batch_size": "64"}, "batch_size must be left out, because --set fixes it for all"),
    ],
)
def test_what_the_space_doesn_t_search_is_refused(named: dict[str, str], sentence: str) -> None:
    with pytest.raises(SteeringError) as refused:
        make_by_hand(DEMO, named, DEMO.baseline_params())
    assert sentence in str(refused.value)


def test_a_parameter_that_has_no_place_names_what_it_goes_with() -> None:
    space = Proposer(find_space("resnet18"), {}, 0)
    names = {name for probe in space.probe() for name in probe.distributions}
    assert "momentum" in names
    with pytest.raises(SteeringError) as refused:
        make_by_hand(space, {"momentum": "0.9", "optimizer": "adamw"}, space.baseline_params())
    assert "leave it out, or name optimizer=sgd too" in str(refused.value)


def test_all_faults_come_together() -> None:
    with pytest.raises(SteeringError) as refused:
        make_by_hand(DEMO, {"lr": "5", "x": "1"}, DEMO.baseline_params())
    assert len(refused.value.errors) == 2


@pytest.mark.parametrize("seconds", [1.0, 90.0, 5400.0, 90061.5, 7200.001])
def test_a_duration_is_read_as_it_was_written(seconds: float) -> None:
    assert seconds_of(as_duration(seconds)) == seconds


def test_durations_are_short() -> None:
    assert [as_duration(s) for s in (5400, 86400, 0.25)] == ["1h30m", "1d", "0.25s"]
