"""Limits a search to its time and its GPU-hours, and reserves a part of both for the finalists."""

import heapq
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from results.analysis.session_times import GpuTime
from results.records import EpochMetrics, TrainingId, TrainingRecord
from search.study.observer import Observer
from search.study.proposer import Proposal
from trainables.config import TrialConfig

LARGEST_SHARE = 0.5
"""At most this share of a budget is reserved for finalists, even where they need more."""


class TrainingCosts(Protocol):
    """Estimates what trainings take; `search.study.finalists.Finalists` fulfils this protocol."""

    def expected_s(self) -> list[float]:
        """Returns the seconds that each finalist's training will take, in their order."""

    def slowest_epoch_s(self) -> float:
        """Returns the seconds of the longest epoch so far."""


@dataclass(slots=True, eq=False)
class _Training:
    """Holds a running training's share of a GPU, and the names of its GPUs once they are known."""

    share: float
    gpus: frozenset[str] | None = None
    running: bool = True

    @property
    def settled(self) -> bool:
        """Returns whether the names can't change any more."""
        return self.gpus is not None or not self.running


class GpuMeter(Observer):
    """Measures for how long the trainings of a search hold GPUs, and for how long they compute.

    A GPU is held while at least one training runs on it. A training names its GPUs with its first
    epoch, and has then held them from its start. Until then, at least as many GPUs are held as the
    shares of all running trainings add up to, rounded up.

    planned: the number of GPUs that all trainings at once hold.
    earlier: the time of earlier sessions.
    clock: returns seconds since any fixed moment.

    The events come from one thread; any thread may read.
    """

    def __init__(
        self,
        planned: int = 1,
        earlier: GpuTime | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.planned, self._earlier, self._clock = planned, earlier or GpuTime(), clock
        self._running: dict[TrainingId, _Training] = {}
        self._spans: list[tuple[float, list[_Training]]] = []  # whose GPUs aren't all known yet
        self._settled_s, self._busy_s, self._since = 0.0, 0.0, clock()
        self._lock = threading.Lock()

    # --- events ----------------------------------------------------------------------------

    def began(self, proposal: Proposal[TrialConfig], gpus: float) -> None:
        """Starts to count a training with a share `gpus` of a GPU."""
        with self._lock:
            self._end_span()
            self._running[proposal.training] = _Training(gpus)

    def placed(self, training: TrainingId, gpus: Sequence[str]) -> None:
        """Takes the names of a training's GPUs; a training without any holds none."""
        with self._lock:
            if (found := self._running.get(training)) and found.gpus is None:
                found.gpus = frozenset(gpus)
                found.share *= bool(gpus)

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        """Adds the part of an epoch that didn't wait for images to the time of computing."""
        with self._lock:
            if found := self._running.get(training):
                self._busy_s += found.share * (metrics.wall_s - (metrics.loading_s or 0.0))

    def moved(self, training: TrainingId, epochs_done: int) -> None:
        """Forgets the names of a training's GPUs, because the next worker may have others."""
        with self._lock:
            self._end_span()
            if before := self._running.get(training):
                before.running = False
                self._running[training] = _Training(before.share)

    def retried(self, proposal: Proposal[TrialConfig], record: TrainingRecord) -> None:
        """Does the same as `moved`."""
        self.moved(proposal.training, proposal.epochs_done)

    def ended(self, record: TrainingRecord) -> None:
        """Stops counting a training, if it had begun."""
        self._stop([record.training])

    def closed(self) -> None:
        """Stops counting all trainings that run."""
        self._stop(list(self._running))

    def _stop(self, trainings: Iterable[TrainingId]) -> None:
        with self._lock:
            self._end_span()
            for training in trainings:
                if found := self._running.pop(training, None):
                    found.running = False

    def _end_span(self) -> None:
        """Ends the span in which the same trainings ran, and adds up the spans that are settled."""
        now = self._clock()
        self._spans.append((now - self._since, list(self._running.values())))
        self._since = now
        unsettled = []
        for seconds, trainings in self._spans:
            if all(each.settled for each in trainings):
                self._settled_s += seconds * _count_gpus(trainings)
            else:
                unsettled.append((seconds, trainings))
        self._spans = unsettled

    # --- figures ---------------------------------------------------------------------------

    def in_session(self) -> GpuTime:
        """Returns the time of this session so far."""
        with self._lock:
            now = (self._clock() - self._since, list(self._running.values()))
            spans = (seconds * _count_gpus(each) for seconds, each in [*self._spans, now])
            return GpuTime(held_s=self._settled_s + sum(spans), busy_s=self._busy_s)

    def total(self) -> GpuTime:
        """Returns the time of all sessions so far."""
        return self._earlier.plus(self.in_session())

    def gpus(self) -> int:
        """Returns the number of GPUs that are held now, or will be where no training runs yet."""
        with self._lock:
            return _count_gpus(self._running.values()) or self.planned


def _count_gpus(trainings: Collection[_Training]) -> int:
    """Returns how many GPUs these trainings hold at the same time."""
    named = frozenset[str]().union(*(each.gpus or () for each in trainings))
    return max(len(named), math.ceil(round(sum(each.share for each in trainings), 6)))


class Budget:
    """Computes the time that a search has left, in seconds; infinity where nothing is limited.

    time_s: the limit of the whole search, or `None` for no limit.
    time_left: returns the rest of `time_s`.
    gpu_s: the limit of the time for which GPUs are held, in seconds of one GPU, or `None` for no
        limit. A training ends with its epoch, so that each GPU can exceed it by up to an epoch.
    meter: measures the time for which GPUs are held.
    workers: the number of trainings at the same time.

    All of it may change while the search runs. Once the budget has `ended` by hand, nothing is
    left of it, although its time isn't up: running trainings end with their epochs.
    """

    def __init__(
        self,
        *,
        time_s: float | None,
        time_left: Callable[[], float],
        gpu_s: float | None,
        meter: GpuMeter,
        workers: int,
    ) -> None:
        self.time_s, self.gpu_s, self.ended = time_s, gpu_s, False
        self._time_left = time_left
        self._meter, self._workers = meter, workers

    def change_time(self, time_s: float, time_left: Callable[[], float]) -> None:
        """Limits the whole search to `time_s` seconds, of which `time_left` returns the rest."""
        self.time_s, self._time_left = time_s, time_left

    def change_gpu_s(self, gpu_s: float) -> None:
        """Limits the time for which GPUs are held, in seconds of one GPU."""
        self.gpu_s = gpu_s

    def change_workers(self, workers: int) -> None:
        """Has the finalists' time estimated for so many trainings at the same time."""
        self._workers = workers

    def end(self) -> None:
        """Leaves nothing of the budget from now on, for the rest of the session."""
        self.ended = True

    def gpu_used_s(self) -> float:
        """Returns for how long GPUs were held so far, in seconds of one GPU."""
        return self._meter.total().held_s

    def left(self) -> float:
        """Returns the seconds until everything ends, finalists included."""
        return self._left(reserved_s=0.0, reserved_gpu_s=0.0)

    def time_is_up(self) -> bool:
        """Returns whether the time of the whole search has passed, by the clock: running epochs are
        broken off then. GPU-hours never break an epoch off.
        """
        return self._time_left() <= 0

    def left_for_trials(self, trained: TrainingCosts) -> float:
        """Returns the seconds until trials must end, so that the rest suffices for the finalists.

        Reserved are the seconds that the finalists' trainings are expected to take, one after the
        other on every worker, and the longest epoch, with which running trials end. In GPU-hours,
        each training is expected to hold a GPU, up to as many as are planned.
        """
        if self.time_s is None and self.gpu_s is None and not self.ended:
            return math.inf
        expected = trained.expected_s()
        last_epoch_s = trained.slowest_epoch_s() if expected else 0.0
        finalists_s, gpus = makespan_s(expected, self._workers), self._meter.planned
        return self._left(
            reserved_s=finalists_s + last_epoch_s,
            reserved_gpu_s=finalists_s * min(gpus, len(expected)) + last_epoch_s * gpus,
        )

    def _left(self, *, reserved_s: float, reserved_gpu_s: float) -> float:
        if self.ended:
            return 0.0
        time_left = self._time_left()
        if self.time_s is not None:
            time_left -= min(reserved_s, LARGEST_SHARE * self.time_s)
        if self.gpu_s is None:
            return time_left
        gpu_s = self.gpu_s - min(reserved_gpu_s, LARGEST_SHARE * self.gpu_s)
        return min(time_left, (gpu_s - self.gpu_used_s()) / self._meter.gpus())


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
