"""Limits a search to its time and its GPU-hours, and reserves a part of both for the finalists."""

import heapq
import math
import time
from collections.abc import Callable, Iterable
from typing import Protocol

LARGEST_SHARE = 0.5
"""At most this share of a budget is reserved for finalists, even where they need more."""


class TrainingCosts(Protocol):
    """Estimates what trainings take; `search.study.finalists.Finalists` fulfils this protocol."""

    def spent_s(self) -> float:
        """Returns the seconds that all trainings took so far, added up over the workers."""

    def expected_s(self) -> list[float]:
        """Returns the seconds that each finalist's training will take, in their order."""

    def slowest_epoch_s(self) -> float:
        """Returns the seconds of the longest epoch so far."""


class Budget:
    """Computes the time that a search has left, in seconds; infinity where nothing is limited.

    time_s: the limit of the whole search, or `None` for no limit.
    time_left: returns the rest of `time_s`.
    gpu_s: the limit in GPU-seconds of all trainings together, or `None` for no limit. Only recorded
        epochs count, so that each worker can exceed it by up to an epoch.
    gpus: the share of a GPU that each training has.
    workers: the number of trainings at the same time.
    """

    def __init__(
        self,
        *,
        time_s: float | None,
        time_left: Callable[[], float],
        gpu_s: float | None,
        gpus: float,
        workers: int,
    ) -> None:
        self._time_s = math.inf if time_s is None else time_s
        self._time_left = time_left
        self._training_s = math.inf if gpu_s is None else gpu_s / gpus
        self._workers = workers

    def left(self, trained: TrainingCosts) -> float:
        """Returns the seconds until everything ends, finalists included."""
        return self._left(trained, reserved_time_s=0.0, reserved_training_s=0.0)

    def time_is_up(self) -> bool:
        """Returns whether the time of the whole search has passed, by the clock: running epochs are
        broken off then. GPU-hours never break an epoch off.
        """
        return self._time_left() <= 0

    def left_for_trials(self, trained: TrainingCosts) -> float:
        """Returns the seconds until trials must end, so that the rest suffices for the finalists.

        Reserved are the seconds that the finalists' trainings are expected to take, one after the
        other on every worker, and the longest epoch, with which running trials end.
        """
        if math.isinf(self._time_s) and math.isinf(self._training_s):
            return math.inf
        expected = trained.expected_s()
        last_epoch_s = trained.slowest_epoch_s() if expected else 0.0
        return self._left(
            trained,
            reserved_time_s=makespan_s(expected, self._workers) + last_epoch_s,
            reserved_training_s=sum(expected) + self._workers * last_epoch_s,
        )

    def _left(
        self, trained: TrainingCosts, *, reserved_time_s: float, reserved_training_s: float
    ) -> float:
        time_left = self._time_left() - min(reserved_time_s, LARGEST_SHARE * self._time_s)
        if math.isinf(self._training_s):
            return time_left
        reserved = min(reserved_training_s, LARGEST_SHARE * self._training_s)
        training_left = self._training_s - trained.spent_s() - reserved
        return min(time_left, training_left / self._workers)


def makespan_s(durations: Iterable[float], workers: int) -> float:
    """Returns when the last of `durations` ends if free workers take them in their order."""
    ends = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def countdown(budget_s: float | None, used_s: float) -> Callable[[], float]:
    """Returns a function that returns the seconds left of the budget; infinity without one."""
    if budget_s is None:
        return lambda: math.inf
    end = time.monotonic() + budget_s - used_s
    return lambda: end - time.monotonic()
