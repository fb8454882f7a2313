"""Watches what going on is expected to gain, by which a search can end."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias

from results.analysis.expected_gain import (
    FEWEST,
    ExpectedGain,
    describe_end,
    is_enough,
    latest_gain,
)
from results.records import EpochMetrics, StopReason, TrialRecord, TrialState
from search.samplers.expected_gain import estimate_gains
from search.samplers.learning_curves import ObservedTrial, value_of

Look: TypeAlias = tuple[
    Sequence[tuple[TrialRecord, Sequence[EpochMetrics]]], Sequence[ObservedTrial], Sequence[int]
]
"""A look at a search consists of the arguments of `GainWatch.estimate`."""


class GainWatch:
    """Estimates what going on would gain whenever a trial ends, and ends a search by it.

    min_gain: the search ends once the expected gain of another hour and its upper end lie below it;
        0 never ends one.
    devices: the GPUs, or where there are none the cores, that a trial takes in this session. The
        epochs of earlier sessions count as if they had taken as many.
    unit: the name of an hour of one of these.
    since: the number of the first trial of the present space.
    several: whether there are several objectives, of which nothing is estimated.
    """

    def __init__(
        self,
        min_gain: float = 0.0,
        *,
        devices: float = 1.0,
        unit: str = "core-hour",
        since: int = 0,
        several: bool = False,
    ) -> None:
        self.min_gain, self._devices, self._unit = min_gain, devices, unit
        self.latest: ExpectedGain | None = None
        self._first = self._since = since
        self._recalled, self._several = False, several

    def recall(self, records: Iterable[TrialRecord], first: int) -> None:
        """Takes the latest estimate from the records of the present space's trials from number
        `first` on, unless its hours are of other devices. Only these trials count for whether there
        are enough for an estimate, and for how many an hour has: those before were shorter, or of
        another space.
        """
        self._first = max(first, self._since)
        found = latest_gain(records, self._first)
        self.latest = found if found and found.unit == self._unit else None
        self._recalled = True

    def enough(self) -> bool:
        """Returns whether the search ends by the latest estimate. No other one is made after it, so
        that a resumed search decides alike.
        """
        return is_enough(self.latest, self.min_gain)

    def why_enough(self, left: int) -> str:
        """Returns why the search ends by the latest estimate, or an empty text where it doesn't.

        left: how many of the trials asked for haven't begun. With none, the estimate ends nothing.
        """
        if left <= 0 or self.latest is None or not self.enough():
            return ""
        return describe_end(self.latest, self.min_gain)

    def judge(self, record: TrialRecord, begun: int, look: Callable[[], Look]) -> TrialRecord:
        """Returns the record of a trial that has just ended, with an estimate where one is due, as
        so many trials have begun. `look` returns the arguments of `estimate`. A trial that goes on
        when the budget is raised has not ended, and of several objectives nothing is estimated.
        """
        if record.reason is StopReason.BUDGET or self._several or not self.is_due(begun):
            return record
        return replace(record, gain=self.estimate(*look()))

    def is_due(self, begun: int) -> bool:
        """Returns whether an estimate is made when a trial ends while so many have begun: always
        with fewer than 200, and then at every second, third and so on, because an estimate's time
        grows with their number. None is made before `recall`: while records are replayed, other
        trials lack epochs that are still to be read.
        """
        return self._recalled and begun % max(1, begun // 100) == 0

    def estimate(
        self,
        shown: Sequence[tuple[TrialRecord, Sequence[EpochMetrics]]],
        evidence: Sequence[ObservedTrial],
        marks: Sequence[int],
    ) -> dict[str, Any] | None:
        """Returns an estimate for the record of a trial that has just ended, or `None` where there
        is none.

        shown: the trials of this search with their epochs, as the last ones of `evidence`.
        """
        values = {
            len(evidence) - len(shown) + place: value_of(epochs[-1])
            for place, (record, epochs) in enumerate(shown)
            if record.trusted and epochs
        }
        alike = [each for each in shown if each[0].number >= self._first]
        seconds = sum(metrics.wall_s for _, epochs in alike for metrics in epochs)
        ended = sum(record.state is not TrialState.RUNNING for record, _ in alike)
        if self.enough() or ended < FEWEST or not values or not seconds:
            return None
        leader = max(values, key=lambda place: (values[place], -place))
        hours = seconds * self._devices / 3600
        hour, ten = estimate_gains(evidence, leader, marks, (len(alike) / hours, 10))
        if hour is None and ten is None:
            return None
        self.latest = ExpectedGain(
            ended=ended,
            unit=self._unit,
            ten=round(ten.expected, 6) if ten else None,
            ten_upper=round(ten.upper, 6) if ten else None,
            hour=round(hour.expected, 6) if hour else None,
            hour_upper=round(hour.upper, 6) if hour else None,
            epochs=sum(len(epochs) for _, epochs in shown),
        )
        return asdict(self.latest)
