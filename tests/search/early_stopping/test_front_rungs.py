"""Rungs by non-dominated rank: decisions by hand, and those of plain rungs where nothing costs."""

import random

from results.analysis.pareto import crowding
from search.early_stopping.asha import ParetoRungs, Rungs, make_rungs


def rungs(costs, factor=3):
    made = make_rungs(1, factor, 9, lambda trial: (costs[trial],))
    assert isinstance(made, ParetoRungs)
    return made


def test_without_costs_rungs_stay_as_they_are():
    assert isinstance(make_rungs(1, 3, 9, None), Rungs)


def test_with_nothing_to_cost_the_decisions_are_those_of_plain_rungs():
    generator = random.Random(2)
    several = make_rungs(1, 3, 10, lambda trial: ())
    plain = Rungs(grace=1, factor=3, epochs=10)
    for trial in range(300):
        epoch, value = generator.choice([1, 2, 3, 9]), round(generator.random(), 1)
        assert several.record(trial, epoch, value) == plain.record(trial, epoch, value)
    assert several.recorded() == plain.recorded()
    assert several.levels == plain.levels == (1, 3, 9)


def test_a_cheaper_trial_goes_on_where_its_value_alone_would_stop_it():
    costs = [10.0, 10.0, 10.0, 10.0, 2.0]
    values = [0.6, 0.5, 0.5, 0.5, 0.3]
    several, plain = rungs(costs), Rungs(grace=1, factor=3, epochs=9)
    decided = [several.record(t, 1, v) for t, v in enumerate(values)]
    alone = [plain.record(t, 1, v) for t, v in enumerate(values)]
    # 0.5 comes behind the one with 0.6: 1 of 2 and 1 of 3 are too many, 1 of 4 is not
    assert decided == [True, False, False, True, True]
    assert alone == [True, False, False, True, False]


def test_a_dominated_trial_stops_however_cheap():
    several = rungs([4.0, 2.0, 2.0])
    assert several.record(0, 1, 0.6)
    assert several.record(1, 1, 0.5)
    assert not several.record(2, 1, 0.4)  # as cheap as trial 1, and worse: 2 of 3 come before


def test_within_a_front_the_wider_neighbourhood_goes_on():
    costs, values = [1.0, 10.0, 5.0, 9.0], [0.1, 1.0, 0.5, 0.9]
    several = rungs(costs)
    assert [several.record(t, 1, values[t]) for t in (0, 1)] == [True, True]
    # All four are on one front. The ends come before those between: 2 of 3, then 3 of 4.
    assert [several.record(t, 1, values[t]) for t in (2, 3)] == [False, False]
    distances = crowding([(-v, c) for v, c in zip(values, costs, strict=True)])
    assert distances[(-0.5, 5.0)] > distances[(-0.9, 9.0)]
    loose = rungs(costs, factor=2)
    for trial in (0, 3, 1):
        loose.record(trial, 1, values[trial])
    assert not loose.record(2, 1, 0.5)  # 2 of 4
    assert loose.record(1, 1, 1.0)


def test_equal_points_pass_together_and_a_trial_counts_once():
    several = rungs([3.0] * 9)
    assert all(several.record(trial, 1, 0.5) for trial in range(9))
    for _ in range(5):
        assert several.record(0, 1, 0.5)
    assert several.recorded() == {1: 9, 3: 0}


def test_between_rungs_every_trial_goes_on():
    several = rungs([float(trial) for trial in range(10)])
    assert all(several.record(trial, 2, 0.0) for trial in range(10))


def test_the_same_records_in_their_order_give_the_same_decisions():
    generator = random.Random(5)
    costs = [generator.choice([2.0, 5.0, 9.0]) for _ in range(90)]
    seen = [(t, e, generator.random()) for t in range(90) for e in (1, 3)]
    generator.shuffle(seen)
    first, second = rungs(costs), rungs(costs)
    decided = [first.record(*each) for each in seen]
    assert [second.record(*each) for each in seen] == decided
    assert 0.25 < sum(decided) / len(decided) < 0.45
