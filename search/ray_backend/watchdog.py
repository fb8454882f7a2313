"""Finds trainings that have reported nothing for too long. Knows no Ray."""

import time
from collections.abc import Callable, Sequence
from statistics import median

from common.text import format_duration
from results.records import TrainingId

TIMES = 10
"""A training stalls after this many of its median epochs: other work on the machine slows it down
by less.
"""

UNKNOWN_EPOCH_S = 3600.0
"""An epoch counts as this many seconds while none has been measured."""

CHECK_EVERY_S = 5.0
"""The time between two checks counts as at most this many seconds, because a search that sleeps or
is busy gets no reports.
"""


class Watchdog:
    """Compares the silence of each training with the duration of its epochs, in seconds.

    timeout_s: every training may be silent for this long; 0 turns the watchdog off.
    expected_s: the expected duration of the longest epoch in the search, if known. In its first
        epoch, a training may be silent for `TIMES` as long, or as the longest epoch so far.
    clock: returns seconds; it may stand still.
    """

    def __init__(
        self,
        timeout_s: float,
        expected_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s, self._clock = timeout_s, clock
        self._longest_s = expected_s
        self._looked, self._awake_s = clock(), 0.0
        self._last_report_s: dict[TrainingId, float] = {}
        self._epochs_s: dict[TrainingId, list[float]] = {}
        self._reasons: dict[TrainingId, str] = {}

    def begins(self, training: TrainingId, epochs_s: Sequence[float] = ()) -> None:
        """Starts to watch a training, whose recorded epochs took `epochs_s`."""
        self._epochs_s[training] = list(epochs_s)
        self._longest_s = max([*epochs_s, self._longest_s or 0.0]) or None
        self._last_report_s[training] = self._awake_s

    def reports(self, training: TrainingId, epoch_s: float) -> None:
        """Records that a training has reported an epoch, which took `epoch_s`."""
        self.begins(training, [*self._epochs_s.get(training, ()), epoch_s])

    def ends(self, training: TrainingId) -> None:
        """Stops watching a training, which has no worker any more."""
        self._last_report_s.pop(training, None)
        self._epochs_s.pop(training, None)

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

    def reason(self, training: TrainingId) -> str | None:
        """Returns why a training counts as stalled, once, or `None` where it doesn't."""
        return self._reasons.pop(training, None)

    def _silent_s(self, training: TrainingId) -> float:
        """Returns the seconds by which a training's silence exceeds its limit."""
        may_s = max(self._timeout_s, TIMES * self._epoch_s(training))
        return self._awake_s - self._last_report_s[training] - may_s

    def _epoch_s(self, training: TrainingId) -> float:
        own = self._epochs_s[training]
        return median(own) if own else self._longest_s or UNKNOWN_EPOCH_S

    def _compared(self, training: TrainingId) -> str:
        own = self._epochs_s[training]
        return (
            f"where its median epoch takes {format_duration(median(own))}"
            if own
            else "not one epoch"
        )
