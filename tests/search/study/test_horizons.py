"""Rungs of trainings of different lengths, by hand."""

from search.early_stopping.asha import REFERENCE
from search.study.horizons import Horizon, HorizonRungs, QueuedConfiguration, TrialQueue


def test_rungs_of_two_lengths_by_hand() -> None:
    """At epoch 1, one trial of each length: neither hears of the other."""
    queue = (
        QueuedConfiguration(origin="baseline", params={}),
        QueuedConfiguration(origin="trial 1", params={"lr": 0.1}),
    )
    short = Horizon(first=0, epochs=3, grace=1)
    long = Horizon(first=2, epochs=9, grace=1, queue=queue, proven=2)
    rungs = HorizonRungs((short, long), 3)
    assert rungs.record(0, 1, 0.9)
    assert not rungs.record(1, 1, 0.8)  # one of two is better
    assert rungs.record(2, 1, 0.5)
    assert rungs.record(3, 1, 0.1)  # the worst, but proven
    assert rungs.record(4, 1, 0.6)
    assert not rungs.record(5, 1, 0.4)  # two of four are better
    assert rungs.recorded() == {1: 4, 3: 0}
    assert [long.is_baseline(n) for n in (0, 2, 3)] == [False, True, False]


def test_rungs_of_two_lengths_compare_by_rank_where_trials_have_costs() -> None:
    short, long = Horizon(first=0, epochs=3, grace=1), Horizon(first=2, epochs=9, grace=1)
    cost = (8.0, 4.0, 2.0, 3.0, 1.0)
    rungs = HorizonRungs((short, long), 3, lambda number: (cost[number],))
    assert rungs.record(0, 1, 0.9)
    assert rungs.record(1, 1, 0.8)  # worse, but cheaper: both are ends of the front
    assert rungs.record(2, 1, 0.5)
    assert not rungs.record(3, 1, 0.4)  # dominated by trial 2
    assert rungs.record(4, 1, 0.1)  # the cheapest of its length


def test_configurations_that_were_queued_are_no_random_ones() -> None:
    """As many trials count as random as are needed, but the first of them is queued, by the horizon
    or by what follows its queue.
    """
    baseline = QueuedConfiguration(origin="baseline", params={})

    def passes(horizon: Horizon, *more: QueuedConfiguration) -> bool:
        queue = TrialQueue(
            (horizon,), lambda place: next(iter(more[place:]), None), lambda n: n < REFERENCE
        )
        rungs = HorizonRungs((horizon,), 3, is_random=queue.is_random)
        for trial in range(REFERENCE):
            rungs.record(trial, 1, trial / REFERENCE)
        for trial in range(100, 140):
            rungs.record(trial, 1, 0.95)
        return rungs.record(200, 1, 0.8)

    assert passes(Horizon(first=0, epochs=9, grace=1))
    assert not passes(Horizon(first=0, epochs=9, grace=1, queue=(baseline,)))
    assert not passes(Horizon(first=0, epochs=9, grace=1), baseline)


def test_what_follows_the_first_horizon_s_queue_never_follows_a_later_one_s() -> None:
    first, second, third = (
        QueuedConfiguration(origin=name, params={})
        for name in ("baseline", "screening 3", "trial 2")
    )
    short = Horizon(first=0, epochs=3, grace=1, queue=(first,))
    long = Horizon(first=2, epochs=9, grace=1, queue=(first, third))
    more = lambda place: second if place < 3 else None  # noqa: E731
    queue = TrialQueue((short, long), more, lambda _: True)
    assert [queue.find(n) for n in range(5)] == [first, second, first, third, None]
    assert [queue.is_random(n) for n in range(5)] == [False] * 4 + [True]
