"""Trainings that report nothing for too long, on a clock that the tests turn."""

import pytest

from results.records import TrainingId
from search.ray_backend.watchdog import CHECK_EVERY_S, TIMES, UNKNOWN_EPOCH_S, Watchdog

FIRST, SECOND = TrainingId(0), TrainingId(1)


class Clock:
    """`wait` looks as often as a search does."""

    def __init__(self, timeout_s: float, expected_s: float | None = None) -> None:
        self.now = 100.0
        self.dog = Watchdog(timeout_s, expected_s, lambda: self.now)

    def wait(self, seconds: float) -> list[TrainingId]:
        """Those that are found stalled meanwhile."""
        found = []
        for _ in range(round(seconds)):
            self.now += 1.0
            found += self.dog.stalled()
        return found


def test_a_training_stalls_after_ten_of_its_median_epochs():
    clock = Clock(timeout_s=5)
    clock.dog.begins(FIRST)
    for epoch_s in (4.0, 6.0, 90.0):
        clock.dog.reports(FIRST, epoch_s)
    assert clock.wait(TIMES * 6) == []
    assert clock.wait(1) == [FIRST]
    assert clock.dog.reason(FIRST) == "reported nothing for 61 s, where its median epoch takes 6 s"
    assert clock.dog.reason(FIRST) is None
    assert clock.wait(1000) == []  # named once, until a worker takes it up again
    clock.dog.begins(FIRST, [4.0, 6.0, 90.0])
    assert clock.wait(100) == [FIRST]


def test_every_report_counts_anew_and_one_training_says_nothing_of_another():
    clock = Clock(timeout_s=20)
    clock.dog.begins(FIRST, [1.0])
    clock.dog.begins(SECOND, [1.0])
    found = []
    for _ in range(4):
        found += clock.wait(10)
        clock.dog.reports(FIRST, 1.0)
    assert found == [SECOND]
    assert clock.dog.reason(SECOND) == "reported nothing for 21 s, where its median epoch takes 1 s"
    assert clock.dog.reason(FIRST) is None


@pytest.mark.parametrize(
    ("timeout_s", "expected_s", "seen_s", "may_s"),
    [
        (600, 7.0, None, 600),  # the timeout is the least
        (600, 100.0, None, 1000),
        (600, 100.0, 200.0, 2000),  # what another one's epoch took, where that is longer
        (600, None, 70.0, 700),
        (600, None, None, TIMES * UNKNOWN_EPOCH_S),
    ],
)
def test_a_first_epoch_is_held_against_the_longest_known(timeout_s, expected_s, seen_s, may_s):
    clock = Clock(timeout_s, expected_s)
    if seen_s:
        clock.dog.begins(SECOND)
        clock.dog.reports(SECOND, seen_s)
        clock.dog.ends(SECOND)
    clock.dog.begins(FIRST)
    assert clock.wait(may_s) == []
    assert clock.wait(1) == [FIRST]
    assert clock.dog.reason(FIRST).endswith(", not one epoch")


def test_what_ended_or_waits_for_a_worker_does_not_stall():
    clock = Clock(timeout_s=5)
    clock.dog.begins(FIRST, [0.1])
    clock.dog.ends(FIRST)
    clock.dog.ends(FIRST)
    assert clock.wait(100) == []


def test_a_search_that_was_asleep_blames_nobody():
    clock = Clock(timeout_s=60)
    clock.dog.begins(FIRST, [1.0])
    clock.now += 8 * 3600  # Ctrl-Z in the evening, fg in the morning
    assert clock.dog.stalled() == []
    assert clock.wait(60 - CHECK_EVERY_S) == []
    assert clock.wait(1) == [FIRST]


def test_no_timeout_no_watchdog():
    clock = Clock(timeout_s=0)
    clock.dog.begins(FIRST, [0.001])
    assert clock.wait(100_000) == []
