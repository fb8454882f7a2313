"""What a search may take: time, GPU-hours, and how much of both is kept for the finalists."""

import heapq
import math
import time
from collections.abc import Callable, Iterable
from typing import Protocol

LARGEST_SHARE = 0.5
"""Of a budget, kept for finalists: where that is too little, it is their repeats that suffer."""


class TrainingCosts(Protocol):
    """What was trained, and what is to come: `search.study.finalists.Finalists`."""

    def spent_s(self) -> float:
        """Seconds that all trainings took so far, added up over the workers."""

    def expected_s(self) -> list[float]:
        """Seconds that each of the finalists' trainings will take, in their order."""

    def slowest_epoch_s(self) -> float:
        """Seconds of the longest epoch so far."""


class Budget:
    """Tells how much time is left. Seconds throughout; infinity where nothing is limited.

    time_s: of the whole search, of which `time_left` gives what is left.
    gpu_s: GPU-seconds of all trainings together, at `gpus` of one GPU each; only what their
    recorded epochs took is counted, so that it is overdrawn by up to an epoch of each worker.
    `None` is no limit. workers: how many trainings run at once.
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
        """Until everything ends, finalists too."""
        return self._left(trained, kept_time_s=0.0, kept_training_s=0.0)

    def left_for_trials(self, trained: TrainingCosts) -> float:
        """Until trials end, so that the finalists can be trained in what is then left.

        Kept is what their trainings are expected to take, one after the other on every worker,
        and an epoch, with which running trials end.
        """
        if math.isinf(self._time_s) and math.isinf(self._training_s):
            return math.inf
        expected = trained.expected_s()
        last_epoch_s = trained.slowest_epoch_s() if expected else 0.0
        return self._left(
            trained,
            kept_time_s=makespan_s(expected, self._workers) + last_epoch_s,
            kept_training_s=sum(expected) + self._workers * last_epoch_s,
        )

    def _left(self, trained: TrainingCosts, *, kept_time_s: float, kept_training_s: float) -> float:
        time_left = self._time_left() - min(kept_time_s, LARGEST_SHARE * self._time_s)
        if math.isinf(self._training_s):
            return time_left
        kept = min(kept_training_s, LARGEST_SHARE * self._training_s)
        training_left = self._training_s - trained.spent_s() - kept
        return min(time_left, training_left / self._workers)


def makespan_s(durations: Iterable[float], workers: int) -> float:
    """When the last of `durations` ends, where each free worker takes the next one, in order."""
    ends = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def countdown(budget_s: float | None, used_s: float) -> Callable[[], float]:
    """A function that gives the seconds left of the budget; infinity without one."""
    if budget_s is None:
        return lambda: math.inf
    end = time.monotonic() + budget_s - used_s
    return lambda: end - time.monotonic()
