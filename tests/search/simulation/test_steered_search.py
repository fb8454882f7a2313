"""A simulated search does what a user asks of it, at the moment of the simulated clock."""

from results.analysis.rung_values import quiet_optuna
from results.records import StopReason, TrialState
from results.side_store import ENDED_BY_HAND
from search.simulation.policies import POLICIES
from search.simulation.simulator import Trace, simulate
from search.simulation.steered_search import SteeredSearch
from tests.search.curves_for_simulation import made, rules

CURVES = made([[0.1 * row + 0.01 * epoch for epoch in range(6)] for row in range(9)])
"""Nine configurations of six epochs, of one second each; a larger `x` is better."""


def run(
    *commands: tuple[float, str], workers: int = 2, trials: int = 6
) -> tuple[Trace, SteeredSearch]:
    with quiet_optuna():
        search = SteeredSearch(
            CURVES, rules(6, 6), 0, workers=workers, trials=trials, commands=commands
        )
        trace = simulate(search.study, CURVES, workers=workers, epochs=999, steered=search)
    return trace, search


def ends(trace: Trace, trial: int) -> list[float]:
    return [event.time_s for event in trace.events if event.trial == trial]


def test_without_commands_it_is_the_same_search() -> None:
    trace, search = run()
    with quiet_optuna():
        policy = POLICIES["ours"](CURVES, rules(6, 6), 0)
        plain = simulate(policy, CURVES, workers=2, epochs=36)
    assert trace.events == plain.events
    assert len(trace.events) == 36
    assert search.answers == []


def test_a_stopped_trial_ends_with_the_epoch_that_it_trains() -> None:
    trace, search = run((2.5, "stop 1"))
    record = search.study.records[1]
    assert (record.state, record.reason) == (TrialState.STOPPED, StopReason.BY_HAND)
    assert (record.epochs, record.detail) == (3, "by search.steer, after epoch 3")
    assert ends(trace, 1) == [1.0, 2.0, 3.0]
    assert ends(trace, 2)[0] == 4.0  # its worker went on at once
    assert search.answers == ["Trial 1 ends with epoch 3, which it trains now or next."]
    assert [each.state for n, each in search.study.records.items() if n != 1] == [
        TrialState.COMPLETE
    ] * 5


def test_what_is_asked_for_comes_next() -> None:
    trace, search = run((0.5, "try x=0.875"), (0.6, "try x=0.5"))
    assert [search.study.records[n].params for n in (2, 3)] == [{"x": 0.875}, {"x": 0.5}]
    assert search.answers[0].startswith("Trial 2 tries x=0.875, with the other values of ")
    assert search.answers[1].endswith("and comes next after 1 that was queued before it.")
    assert {event.row for event in trace.events if event.trial == 2} == {7}
    assert len(search.study.records) == 6  # they are among the trials


def test_fewer_run_at_once_when_those_that_run_have_ended() -> None:
    trace, _ = run((1.5, "concurrency 1"), (13.5, "concurrency 2"), workers=2)
    assert ends(trace, 1)[-1] == 6.0
    assert (ends(trace, 2)[0], ends(trace, 3)[0]) == (7.0, 13.0)  # one after the other
    assert (ends(trace, 3)[-1], ends(trace, 4)[0]) == (18.0, 14.5)  # side by side again


def test_a_larger_number_of_trials_goes_on() -> None:
    _, search = run((17.5, "budget +3 trials"))
    assert len(search.study.records) == 9
    assert search.records[0].trials == 9
    _, search = run((0.5, "budget 4 trials"))
    assert len(search.study.records) == 4


def test_an_end_lets_running_epochs_finish() -> None:
    trace, search = run((7.5, "end"), (7.6, "stop 2"))
    assert max(event.time_s for event in trace.events) == 8.0
    cut = [search.study.records[number] for number in (2, 3)]
    assert {(each.reason, each.detail) for each in cut} == {(StopReason.BUDGET, ENDED_BY_HAND)}
    assert len(search.study.records) == 4
    assert "this one was ended by hand" in search.answers[1]


def test_a_time_budget_counts_from_the_search_s_beginning() -> None:
    trace, search = run((1.5, "budget 8s"), (2.5, "budget +1.5s"))
    assert [each.time_s for each in search.records] == [8.0, 9.5]
    assert max(event.time_s for event in trace.events) == 10.0  # epochs in progress end


def test_what_can_t_be_done_changes_nothing() -> None:
    refused = {
        "stop 9": "stop needs a trial that has begun, but 9 hasn't; running are 0, 1.",
        "try y=1": "y is not a parameter of these curves; they have x.",
        "try x=2": "x must lie in its range of 0 … 1, but got 2; name another value.",
        "concurrency 3": "concurrency must lie in 1…2",
        "budget +2h": "+ needs a time budget to add to, but this search has none",
        "budget 1 trials": "must lie in 2…1000000, because 2 have begun, but got 1",
        "budget +1 gpu-hours": "gpu-hours need trials that take GPUs",
        "budget 1s": "must be above the 1.5 s that the search has used, but got 1 s",
    }
    trace, search = run(*((1.5, words) for words in refused))
    for answer, expected in zip(search.answers, refused.values(), strict=True):
        assert expected in answer
    assert search.records == []
    assert trace.events == run()[0].events


def test_a_configuration_is_tried_once_and_an_ended_trial_isn_t_stopped() -> None:
    _, search = run((0.5, "try x=0.5"), (0.6, "try x=0.5"), (13.5, "stop 0"), (35.0, "try x=0.1"))
    assert search.answers[1].startswith("try needs a configuration that no trial has, but trial 2")
    assert search.answers[2].startswith("stop needs a trial that is running, but 0 has ended (comp")
    assert "but all 6 have, or are asked for; first raise" in search.answers[3]
