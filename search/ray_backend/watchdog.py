"""Finds trainings that have reported nothing for too long. Knows no Ray."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from common.text import format_duration
from results.records import EpochMetrics, TrainingId
from search.hardware.training_speed import COMPILE_S, EpochEstimate, TrainingSpeed
from trainables.config import TrialConfig

TIMES = 10
"""A training stalls after this many of its median epochs: other work on the machine slows it down
by less.
"""

FIRST_TIMES = 20
"""A training without an epoch of its own stalls after this many epochs as they were estimated. The
estimate may be too low by a factor of 2, and the machine eight times as slow as it was then.
"""

UNKNOWN_S = 36_000.0
"""A training may be silent for this many seconds before its first epoch where nothing is known of
its network.
"""

CHECK_EVERY_S = 5.0
"""The time between two checks counts as at most this many seconds, because a search that sleeps or
is busy gets no reports.
"""


class Watchdog:
    """Compares the silence of each training with the duration of its epochs, in seconds.

    timeout_s: every training may be silent for this long; 0 turns the watchdog off.
    speed: estimates the first epoch of a training, by its size, and learns from every epoch;
        without it, nothing is known of first epochs.
    clock: returns seconds; it may stand still.
    """

    def __init__(
        self,
        timeout_s: float,
        speed: TrainingSpeed | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s, self._speed, self._clock = timeout_s, speed, clock
        self._looked, self._awake_s = clock(), 0.0
        self._last_report_s: dict[TrainingId, float] = {}
        self._epochs_s: dict[TrainingId, list[float]] = {}
        self._configs: dict[TrainingId, tuple[TrialConfig, float]] = {}
        self._compiling = set[TrainingId]()
        self._reasons: dict[TrainingId, str] = {}
        self._waiting_since_s: dict[TrainingId, float] = {}

    def begins(
        self, training: TrainingId, config: TrialConfig, gpus: float, epochs_s: Sequence[float] = ()
    ) -> None:
        """Starts to watch a training of `config` with a share `gpus` of a GPU, whose recorded
        epochs took `epochs_s`.
        """
        self._watch(training, config, gpus, epochs_s)
        if config.compile:
            self._compiling.add(training)

    def reports(
        self, training: TrainingId, config: TrialConfig, gpus: float, metrics: EpochMetrics
    ) -> None:
        """Records that a training has reported an epoch with these metrics."""
        if self._speed and not training.screening:  # whose epochs have fewer images
            self._speed.learn(config, gpus, metrics)
        self._compiling.discard(training)
        self._watch(training, config, gpus, [*self._epochs_s.get(training, ()), metrics.wall_s])

    def _watch(
        self, training: TrainingId, config: TrialConfig, gpus: float, epochs_s: Sequence[float]
    ) -> None:
        self._epochs_s[training], self._configs[training] = list(epochs_s), (config, gpus)
        self._last_report_s[training] = self._awake_s

    def ends(self, training: TrainingId) -> None:
        """Stops watching a training, which has no worker any more."""
        for known in (self._last_report_s, self._epochs_s, self._configs):
            known.pop(training, None)
        self._compiling.discard(training)

    def stalled(self) -> list[TrainingId]:
        """Returns the trainings that have become silent for too long, each once. Call it often."""
        now = self._clock()
        self._awake_s += min(now - self._looked, CHECK_EVERY_S)
        self._looked = now
        found = [one for one in self._last_report_s if self._timeout_s and self._silent_s(one) > 0]
        for training in found:
            silent_s = self._awake_s - self._last_report_s[training]
            self._reasons[training] = (
                f"reported nothing for {format_duration(silent_s)}, {self._compared(training)}"
            )
            self.ends(training)
        return found

    def unserved(self, waiting: Iterable[TrainingId]) -> dict[TrainingId, str]:
        """Returns those of the trainings that are `waiting` for a worker which have waited for more
        than the watchdog's time-out, with a reason, each once. Call it after every `stalled`.
        """
        since = self._waiting_since_s
        self._waiting_since_s = {one: since.get(one, self._awake_s) for one in waiting}
        found = {}
        for training, since_s in self._waiting_since_s.items():
            if self._timeout_s and self._awake_s - since_s > self._timeout_s:
                self._waiting_since_s[training] = math.inf
                waited = format_duration(self._awake_s - since_s)
                found[training] = f"has waited {waited} for a worker"
        return found

    def reason(self, training: TrainingId) -> str | None:
        """Returns why a training counts as stalled, once, or `None` where it doesn't."""
        return self._reasons.pop(training, None)

    def _silent_s(self, training: TrainingId) -> float:
        """Returns the seconds by which a training's silence exceeds its limit. One that compiles
        does so in its first epoch in a process, also where it goes on from a checkpoint.
        """
        may_s = max(self._timeout_s, self._epochs_limit_s(training))
        may_s += COMPILE_S if training in self._compiling else 0.0
        return self._awake_s - self._last_report_s[training] - may_s

    def _epochs_limit_s(self, training: TrainingId) -> float:
        """Returns the limit by a training's own epochs, or by the estimate of its first. With
        `views`, any of its epochs may be the first of a version, whose outputs it computes or
        waits for.
        """
        own = self._epochs_s[training]
        own_limit_s = TIMES * median(own) if own else 0.0
        if own and not self._configs[training][0].views:
            return own_limit_s
        first = self._first_epoch(training)
        return max(own_limit_s, FIRST_TIMES * first.longest_s if first else UNKNOWN_S)

    def _first_epoch(self, training: TrainingId) -> EpochEstimate | None:
        return self._speed.estimate(*self._configs[training]) if self._speed else None

    def _compared(self, training: TrainingId) -> str:
        if own := self._epochs_s[training]:
            return f"where its median epoch takes {format_duration(median(own))}"
        if first := self._first_epoch(training):
            longest = format_duration(first.longest_s)
            return f"not one epoch, which should take at most {longest} ({first.source})"
        return "not one epoch"
