"""Dominance, fronts and crowding against hand-made points, and the front of a run's trials."""

import math

import pytest

from results.analysis.pareto import (
    crowding,
    dominates,
    fronts,
    minimised,
    objectives_of,
    pareto_front,
    parse_objectives,
    values,
)
from results.records import StopReason, TrialRecord, TrialState

BOTH = ("val_top1", "latency_ms")


def record(number, val, latency, parameters=1.0, **more):
    return TrialRecord(
        number=number, params={}, config={}, last_val_top1=val, latency_ms=latency,
        parameters_m=parameters, **({"state": TrialState.COMPLETE} | more),
    )  # fmt: skip


def by_number(*records):
    return {each.number: each for each in records}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((1.0, 1.0), (2.0, 2.0), True),
        ((1.0, 2.0), (2.0, 2.0), True),
        ((1.0, 1.0), (1.0, 1.0), False),
        ((1.0, 3.0), (2.0, 2.0), False),
        ((2.0, 2.0), (1.0, 1.0), False),
    ],
)
def test_a_point_dominates_where_it_is_nowhere_worse_and_somewhere_better(one, other, expected):
    assert dominates(one, other) is expected


def test_accuracy_is_turned_round_and_costs_are_not():
    assert minimised((0.6, 12.0), BOTH) == (-0.6, 12.0)


def test_fronts_are_peeled_off_one_after_the_other():
    #  4 |     e       a, b, c: nothing is better in both; d is behind b alone, e behind d
    #  3 | a   d
    #  2 |   b
    #  1 |       c
    #    +--1-2-3-4
    a, b, c, d, e = (1.0, 3.0), (2.0, 2.0), (4.0, 1.0), (3.0, 3.0), (3.0, 4.0)
    assert fronts([e, d, c, b, a, b]) == [[a, b, c], [d], [e]]
    assert fronts([]) == []


def test_in_three_objectives_a_point_is_beaten_by_one_that_beats_it_in_all():
    a, b, c = (1.0, 5.0, 5.0), (5.0, 1.0, 5.0), (5.0, 5.0, 1.0)
    assert fronts([(5.0, 2.0, 5.0), a, b, c]) == [[a, b, c], [(5.0, 2.0, 5.0)]]


def test_crowding_by_hand():
    front = [(0.0, 10.0), (1.0, 4.0), (4.0, 2.0), (10.0, 0.0)]
    distances = crowding(front)
    assert distances[front[0]] == distances[front[3]] == math.inf
    # neighbours along the first axis and along the second, each as a share of ten
    assert distances[front[1]] == pytest.approx((4 - 0) / 10 + (10 - 2) / 10)
    assert distances[front[2]] == pytest.approx((10 - 1) / 10 + (4 - 0) / 10)
    assert crowding([(1.0, 2.0)]) == {(1.0, 2.0): math.inf}


def test_the_front_of_a_run_is_told_by_val_top1():
    trials = by_number(
        record(0, 0.50, 20.0),  # beaten by trial 2 in both
        record(1, 0.40, 5.0),
        record(2, 0.55, 10.0),
        record(3, 0.55, 10.0),  # as good as trial 2
        record(4, 0.60, 30.0),
        record(5, 0.39, 5.0),  # as fast as trial 1, but less accurate
    )
    assert [each.number for each in pareto_front(trials, BOTH)] == [4, 2, 3, 1]


def test_what_failed_or_diverged_or_was_not_measured_is_on_no_front():
    trials = by_number(
        record(0, 0.3, 9.0),
        record(1, 0.9, 1.0, state=TrialState.FAILED),
        record(2, 0.9, 1.0, state=TrialState.STOPPED, reason=StopReason.DIVERGED),
        record(3, None, 1.0, state=TrialState.RUNNING),
        record(4, 0.9, None),
        record(5, 0.2, 2.0, state=TrialState.STOPPED, reason=StopReason.RUNG),
    )
    assert [each.number for each in pareto_front(trials, BOTH)] == [0, 5]
    assert pareto_front({}, BOTH) == []


def test_a_third_objective_can_save_a_trial():
    trials = by_number(record(0, 0.6, 10.0, 5.0), record(1, 0.5, 12.0, 2.0))
    assert [each.number for each in pareto_front(trials, BOTH)] == [0]
    three = (*BOTH, "parameters_m")
    assert [each.number for each in pareto_front(trials, three)] == [0, 1]
    assert values(trials[1], three) == (0.5, 12.0, 2.0)


def test_a_run_says_its_objectives_and_an_older_one_had_one():
    assert parse_objectives("parameters_m, val_top1") == ("val_top1", "parameters_m")
    assert objectives_of({"options": {"objectives": "val_top1,latency_ms"}}) == BOTH
    assert objectives_of({"options": {}}) == ("val_top1",)
