"""Rivals in processes of their own: the protocol with the smallest one, and each real one."""

import sys
from collections import Counter
from contextlib import closing

import numpy as np
import pytest

from search.simulation.recorded_curves import read_curves
from search.simulation.simulator import simulate
from tests.benchmarks import rival_environments, rivals_apart
from tests.benchmarks.apart.lines import Trials
from tests.benchmarks.drawn import EPOCHS, draw
from tests.benchmarks.measure import BenchmarkError
from tests.benchmarks.rivals_apart import Apart
from tests.benchmarks.rivals_prior import believed, good
from tests.search.curves_for_simulation import made, rules

TEN = made([[0.1 * row + 0.01 * epoch for epoch in range(5)] for row in range(10)])


def random_events(seed, prior=None):
    with closing(Apart(sys.executable, "random_side", TEN, seed, prior)) as policy:
        return simulate(policy, TEN, workers=4, epochs=60).events


def test_a_rival_in_another_process_promotes_what_paused_and_depends_on_its_seed_alone():
    events = random_events(1)
    assert len(events) == 60
    epochs = {}
    for event in events:
        epochs.setdefault(event.trial, []).append((event.row, event.epoch))
    lengths = Counter(len(each) for each in epochs.values())
    assert lengths[5] >= 5
    assert lengths[1] >= 2 * lengths[5]  # one in three goes on
    for each in epochs.values():
        row = each[0][0]
        assert each == [(row, epoch) for epoch in range(1, len(each) + 1)]
    # Of the first three to report, the best goes on.
    first = [event for event in events if event.epoch == 1][:3]
    assert len(epochs[max(first, key=lambda event: event.val).trial]) == 5
    assert events == random_events(1) != random_events(2)


def test_a_prior_reaches_the_other_process():
    assert {event.row for event in random_events(0, prior={"x": 7 / 9})} == {7}


def test_a_rival_that_dies_ends_the_search_with_its_own_words():
    with (
        closing(Apart(sys.executable, "no_such_side", TEN, 0)) as policy,
        pytest.raises(BenchmarkError, match=r"ended too early: .*no_such_side\.py"),
    ):
        simulate(policy, TEN, workers=1, epochs=1)


class Listed:
    """A rival that asks for these (configuration, epoch) in turn."""

    def __init__(self, *asked):
        self.asked, self.losses = list(asked), []

    def ask(self):
        if not self.asked:
            return None
        key, until = self.asked.pop(0)
        return (key, until), key, {"x": key}, until

    def tell(self, job, loss):
        self.losses.append((*job, loss))


def test_a_configuration_goes_on_where_it_paused_and_else_is_trained_anew():
    rival = Listed(("a", 1.93), ("b", 0.4), ("a", 5.8), ("a", 17), ("a", 5))
    trials = Trials(rival)

    def ask():
        asked = trials.ask()
        return asked["trial"], asked["epochs_done"], asked["until"]

    assert ask() == (0, 0, 1)
    assert ask() == (1, 0, 1)
    trials.tell(0, 0.75)
    assert ask() == (0, 1, 5)
    assert ask() == (2, 0, 17)  # trial 0 still trains
    trials.tell(2, 0.5)
    trials.tell(0, 0.25)
    assert ask() == (3, 0, 5)  # the configuration has 17 epochs behind it
    assert trials.ask() is None
    assert rival.losses == [("a", 1.93, -0.75), ("a", 17, -0.5), ("a", 5.8, -0.25)]


def test_the_prior_is_a_row_of_the_best_tenth_and_follows_its_seed(tmp_path):
    curves = read_curves(draw(tmp_path, 0))
    tenth = np.sort(curves.val[:, -1])[-150]
    rows = [curves.nearest(believed(good, curves, seed)) for seed in range(10)]
    assert all(curves.val[row, -1] >= tenth for row in rows)
    assert len(set(rows)) > 5
    assert rows[3] == curves.nearest(believed(good, curves, 3))


def test_rivals_without_their_environment_are_named_with_the_command_that_makes_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(rival_environments, "FOLDER", tmp_path)
    found = rivals_apart.missing()
    assert len(found) == len(rivals_apart.EVERY)
    assert found[0] == (
        "NePS: PriorBand needs an environment, which "
        "`python -m tests.benchmarks.rival_environments neps` makes."
    )
    assert rival_environments.every_version() == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", rivals_apart.EVERY)
def test_each_rival_searches_with_brackets_of_its_own(name, tmp_path):
    where, make = rivals_apart.EVERY[name]
    if not rival_environments.is_made(where):
        pytest.skip(f"`{rival_environments.command(where)}` makes the environment")
    curves = read_curves(draw(tmp_path, 0))

    def events(seed):
        with closing(make(curves, rules(EPOCHS, grace=3), seed)) as policy:
            return simulate(policy, curves, workers=4, epochs=12 * EPOCHS).events

    found = events(1)
    assert len(found) == 12 * EPOCHS
    last = {event.trial: event.epoch for event in found}
    assert set(Counter(last.values())) >= {1, 3, EPOCHS}
    assert found == events(1) != events(2)
