"""Trainings that report nothing for too long, on a clock that the tests turn."""

from dataclasses import replace

import pytest

from results.records import TrainingId
from search.hardware.allocation import Resources
from search.hardware.training_speed import COMPILE_S, TrainingSpeed
from search.planning.bounds import find_bounds
from search.ray_backend.watchdog import (
    CHECK_EVERY_S,
    FIRST_TIMES,
    TIMES,
    UNKNOWN_S,
    Watchdog,
)
from search.spaces import find_space, space_names
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig

FIRST, SECOND = TrainingId(0), TrainingId(1)
CONFIG = TrialConfig(network="resnet18", image_size=64)
LARGE = CONFIG.but(image_size=224)
CORES = Resources(concurrent=2, threads=1, why="")


def speed_of(measured_epoch_s: float | None) -> TrainingSpeed:
    """What is known where an epoch of `CONFIG` was measured to take so many seconds."""
    rate = TrainingSpeed(27, [], (CONFIG, 1.0)).estimate(CONFIG).epoch_s
    measured = (CONFIG, rate / measured_epoch_s) if measured_epoch_s else None
    return TrainingSpeed(27, [], measured)


class Clock:
    """`wait` looks as often as a search does, or every `step` seconds."""

    def __init__(self, timeout_s: float, speed: TrainingSpeed | None = None) -> None:
        self.now = 100.0
        self.dog = Watchdog(timeout_s, speed, lambda: self.now)

    def begins(self, training, epochs_s=(), config=CONFIG):
        self.dog.begins(training, config, 0.0, epochs_s)

    def reports(self, training, epoch_s, config=CONFIG):
        self.dog.reports(training, config, 0.0, replace(metrics(1, 0.5), wall_s=epoch_s))

    def wait(self, seconds: float, step: float = 1.0) -> list[TrainingId]:
        """Those that are found stalled meanwhile."""
        found = []
        for _ in range(round(seconds / step)):
            self.now += step
            found += self.dog.stalled()
        return found


def test_a_training_stalls_after_ten_of_its_median_epochs():
    clock = Clock(timeout_s=5)
    clock.begins(FIRST)
    for epoch_s in (4.0, 6.0, 90.0):
        clock.reports(FIRST, epoch_s)
    assert clock.wait(TIMES * 6) == []
    assert clock.wait(1) == [FIRST]
    assert clock.dog.reason(FIRST) == "reported nothing for 61 s, where its median epoch takes 6 s"
    assert clock.dog.reason(FIRST) is None
    assert clock.wait(1000) == []  # named once, until a worker takes it up again
    clock.begins(FIRST, [4.0, 6.0, 90.0])
    assert clock.wait(100) == [FIRST]


def test_with_views_any_epoch_may_be_the_first_of_a_version():
    clock, views = Clock(5, speed_of(None)), CONFIG.but(freeze_depth=4, views=4)
    clock.begins(FIRST, [], views)
    clock.reports(FIRST, 90.0, views)  # it computed a version
    clock.begins(SECOND, [], views)
    for epoch_s in (1.0, 1.0, 1.0):
        clock.reports(SECOND, epoch_s, views)
    clock.dog.ends(FIRST)
    assert clock.wait(FIRST_TIMES * 90, step=5.0) == []
    assert clock.wait(10) == [SECOND]


def test_every_report_counts_anew_and_one_training_says_nothing_of_another():
    clock = Clock(timeout_s=20)
    clock.begins(FIRST, [1.0])
    clock.begins(SECOND, [1.0])
    found = []
    for _ in range(4):
        found += clock.wait(10)
        clock.reports(FIRST, 1.0)
    assert found == [SECOND]
    assert clock.dog.reason(SECOND) == "reported nothing for 21 s, where its median epoch takes 1 s"
    assert clock.dog.reason(FIRST) is None


@pytest.mark.parametrize(
    ("timeout_s", "measured_s", "seen_s", "may_s"),
    [
        (600, 7.0, None, 600),  # the timeout is the least
        (600, 100.0, None, 2000),
        (600, 100.0, 200.0, 4000),  # what another one's epoch took outranks the measurement
        (600, 100.0, 50.0, 1000),
        (600, None, 70.0, 1400),
        (600, None, None, UNKNOWN_S),
    ],
)
def test_a_first_epoch_is_held_against_what_is_known_best(timeout_s, measured_s, seen_s, may_s):
    clock = Clock(timeout_s, speed_of(measured_s))
    clock.begins(FIRST)
    if seen_s:
        clock.begins(SECOND)
        clock.reports(SECOND, seen_s)
        clock.dog.ends(SECOND)
    assert clock.wait(may_s) == []
    assert clock.wait(1) == [FIRST]
    assert "not one epoch" in clock.dog.reason(FIRST)


def test_the_reason_says_what_an_epoch_was_expected_to_take_and_by_what():
    clock = Clock(5, speed_of(3.0))
    clock.begins(FIRST)
    assert clock.wait(61) == [FIRST]
    assert clock.dog.reason(FIRST) == (
        "reported nothing for 61 s, not one epoch, which should take at most 3 s (measured on this "
        "machine)"
    )


def test_an_epoch_that_diverged_says_nothing_of_the_next_trial_s():
    """It ends after a few steps, in 3 s instead of 100, so that the timeout would be the limit."""
    clock = Clock(600, speed_of(100.0))
    clock.begins(FIRST)
    clock.dog.reports(FIRST, CONFIG, 0.0, replace(metrics(1, 0.0, loss=None), wall_s=3.0))
    clock.dog.ends(FIRST)
    clock.begins(SECOND)
    assert clock.wait(2000) == []
    assert clock.wait(1) == [SECOND]


def test_a_larger_trial_s_first_epoch_may_take_as_much_longer_as_it_is_larger():
    """At 224 px an epoch has 12.25 times the work that it has at 64."""
    clock = Clock(5, speed_of(1.0))
    clock.begins(FIRST)
    clock.reports(FIRST, 8.0)
    clock.begins(SECOND, config=LARGE)
    for _ in range(25):
        assert clock.wait(8) == []
        clock.reports(FIRST, 8.0)
    clock.dog.ends(FIRST)
    limit = FIRST_TIMES * 8 * 12.25
    assert clock.wait(limit - 200) == []
    assert clock.wait(1) == [SECOND]


SIZES = [
    (name, config)
    for name in space_names()
    for config in find_bounds(find_space(name).baseline, {}).starting
    for config in (config, config.but(image_size=224), config.but(image_size=32))
]


@pytest.mark.parametrize("timeout", [1.0, 600.0])
@pytest.mark.parametrize("measured", [None, 300.0])
@pytest.mark.parametrize(("name", "config"), SIZES)
def test_a_healthy_trial_on_a_machine_eight_times_slower_than_thought_is_never_killed(
    name, config, measured, timeout
):
    """Whether a rule says so or a measurement, which trials that share the machine fall short of;
    with an estimate that is too low by a factor of 2 besides. The largest comes last and first.
    """
    baseline = find_space(name).baseline
    rate = (baseline, measured) if measured else None
    thought, speed = (TrainingSpeed(500, CORES.kinds, rate) for _ in range(2))
    clock = Clock(timeout, speed)
    for number, each in enumerate((config, baseline, config)):
        if thought.estimate(each) is None:
            continue
        training, epoch_s = TrainingId(number), 2 * 8 * thought.estimate(each).epoch_s
        clock.begins(training, config=each)
        for _ in range(3):
            assert clock.wait(epoch_s, step=min(epoch_s / 100, CHECK_EVERY_S)) == []
            clock.reports(training, epoch_s, config=each)
        clock.dog.ends(training)
    hangs = TrainingId(9)
    clock.begins(hangs, config=config)
    limit = max(timeout, FIRST_TIMES * speed.estimate(config).longest_s)
    assert clock.wait(1.01 * limit, step=min(limit / 1000, CHECK_EVERY_S)) == [hangs]


def test_what_ended_or_waits_for_a_worker_does_not_stall():
    clock = Clock(timeout_s=5)
    clock.begins(FIRST, [0.1])
    clock.dog.ends(FIRST)
    clock.dog.ends(FIRST)
    assert clock.wait(100) == []


def test_a_search_that_was_asleep_blames_nobody():
    clock = Clock(timeout_s=60)
    clock.begins(FIRST, [1.0])
    clock.now += 8 * 3600  # Ctrl-Z in the evening, fg in the morning
    assert clock.dog.stalled() == []
    assert clock.wait(60 - CHECK_EVERY_S) == []
    assert clock.wait(1) == [FIRST]


def test_no_timeout_no_watchdog():
    clock = Clock(timeout_s=0)
    clock.begins(FIRST, [0.001])
    assert clock.wait(100_000) == []


@pytest.mark.parametrize("epochs_s", [(), (4.0, 4.0)])
def test_a_training_that_compiles_has_time_for_it_in_its_first_epoch_in_a_process(epochs_s):
    """Also where it goes on from a checkpoint. Epochs take 4 s, so that the timeout is the least
    limit otherwise.
    """
    clock, compiled = Clock(600, speed_of(4.0)), CONFIG.but(compile=True)
    clock.begins(FIRST, epochs_s, compiled)
    clock.begins(SECOND, epochs_s)
    assert clock.wait(601) == [SECOND]
    assert clock.wait(COMPILE_S - 1) == []
    clock.reports(FIRST, 4.0, compiled)
    assert clock.wait(600) == []
    assert clock.wait(1) == [FIRST]
    clock.begins(FIRST, epochs_s, compiled)
    assert clock.wait(600 + COMPILE_S) == []
    assert clock.wait(1) == [FIRST]
    clock.begins(FIRST, epochs_s, CONFIG)  # what it was before counts no more
    assert clock.wait(601) == [FIRST]
