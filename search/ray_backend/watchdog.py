"""Which trainings have reported nothing for too long. Knows no Ray."""

import time
from collections.abc import Callable, Sequence
from statistics import median

from common.text import format_duration
from results.records import TrainingId

TIMES = 10
"""A training stalls after so many of its median epochs: others on the machine slow one down by
less."""

UNKNOWN_EPOCH_S = 3600.0
"""What an epoch counts as while nothing is known of any."""

CHECK_EVERY_S = 5.0
"""Two looks further apart count as this: a search that sleeps or is busy hears no reports."""


class Watchdog:
    """Holds the silence of each training against what its epochs have taken. Seconds throughout.

    timeout_s: a silence that every training may keep; 0 turns the watchdog off.
    expected_s: of the longest epoch in the search, where that can be told beforehand. In its first
    epoch a training may be silent for `TIMES` of these, or of the longest that any has taken.
    clock: in seconds; it may stand still.
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
        self._heard: dict[TrainingId, float] = {}
        self._epochs_s: dict[TrainingId, list[float]] = {}
        self._reasons: dict[TrainingId, str] = {}

    def begins(self, training: TrainingId, epochs_s: Sequence[float] = ()) -> None:
        """A worker takes a training up, of which `epochs_s` are recorded."""
        self._epochs_s[training] = list(epochs_s)
        self._longest_s = max([*epochs_s, self._longest_s or 0.0]) or None
        self._heard[training] = self._awake_s

    def reports(self, training: TrainingId, epoch_s: float) -> None:
        """A training reports an epoch, which took `epoch_s`."""
        self.begins(training, [*self._epochs_s.get(training, ()), epoch_s])

    def ends(self, training: TrainingId) -> None:
        """A training has no worker any more, for whatever reason."""
        self._heard.pop(training, None)
        self._epochs_s.pop(training, None)

    def stalled(self) -> list[TrainingId]:
        """Those that have just been silent for too long; each is named once. Call it often."""
        now = self._clock()
        self._awake_s += min(now - self._looked, CHECK_EVERY_S)
        self._looked = now
        found = [one for one in self._heard if self._timeout_s and self._silent_s(one) > 0]
        for training in found:
            silent_s = self._awake_s - self._heard[training]
            self._reasons[training] = (
                f"reported nothing for {format_duration(silent_s)}, {self._compared(training)}"
            )
            self.ends(training)
        return found

    def reason(self, training: TrainingId) -> str | None:
        """Why a training's worker was ended, if it was for a stall; it is told once."""
        return self._reasons.pop(training, None)

    def _silent_s(self, training: TrainingId) -> float:
        """How long a training has been silent beyond what it may."""
        may_s = max(self._timeout_s, TIMES * self._epoch_s(training))
        return self._awake_s - self._heard[training] - may_s

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
