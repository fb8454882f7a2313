"""Turns the learning curves of a study into numbers that a model can be fitted to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.records import EpochMetrics, StopReason, TrialRecord, TrialState
from search.samplers.encoding import Vector

SCREENED = 0
"""A short training before the trials has its value at this mark, before all epochs."""

FEWEST = 4
"""A line from one rung to the next is fitted if at least this many trials have reached both."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservedTrial:
    """Holds what one configuration has shown: its parameters, and its value (higher is better)
    after each epoch.

    `running` is true while more values will come. `unfit` is true for a configuration that diverged
    or doesn't fit into memory; it counts as the worst, whatever values it had. `tried` is false for
    one that has only had a short training, and so may still be proposed.
    """

    params: Mapping[str, Any]
    values: dict[int, float]
    running: bool = False
    unfit: bool = False
    tried: bool = True


def value_of(metrics: EpochMetrics) -> float:
    """Returns the metric that the search maximises, val_top1, or 0 where it is missing, which
    happens only in final training.
    """
    return metrics.val_top1 if metrics.val_top1 is not None else 0.0


def observe(
    record: TrialRecord, seen: Sequence[EpochMetrics], epochs: int, marks: Sequence[int]
) -> ObservedTrial:
    """Returns what a trial has shown after the epochs in `seen`.

    epochs: the number of epochs of the trial's full training.
    marks: the epochs at which trials are compared.

    A failure for which the configuration isn't to blame doesn't make the trial unfit.
    """
    values = {metrics.epoch: value_of(metrics) for metrics in seen}
    return ObservedTrial(
        params=record.params,
        values=after_shares(values, epochs, marks),
        running=record.state is TrialState.RUNNING,
        unfit=record.reason in (StopReason.DIVERGED, StopReason.MEMORY),
    )


_ENDED = -1
"""An ended trial has this number of epochs in `ObservationCache`: no more will come."""


class ObservationCache:
    """Stores the observations of trials, because computing those of thousands would take longer
    than a proposal. That of a running trial holds until it has shown another epoch.

    `marks` are the epochs at which trials are compared. `earlier` are observations from before the
    study, which come first.
    """

    def __init__(self, marks: Sequence[int], earlier: Sequence[ObservedTrial] = ()) -> None:
        self._marks, self._earlier = marks, earlier
        self._known: dict[int, tuple[TrialRecord, int, ObservedTrial]] = {}

    def of(
        self,
        records: Iterable[TrialRecord],
        epochs: Mapping[int, Sequence[EpochMetrics]],
        length_of: Callable[[int], int],
    ) -> list[ObservedTrial]:
        """Returns the earlier observations, and that of each trial as it stands, in the order of
        the records.

        epochs: what each trial has shown, by its number.
        length_of: returns the number of epochs of a trial's full training, by its number.
        """
        known = self._known
        # Records are immutable: a trial whose state has changed has another record.
        own = (
            hit[2]
            if (hit := known.get(record.number))
            and hit[0] is record
            and (hit[1] == _ENDED or hit[1] == len(epochs[record.number]))
            else self._observe(record, epochs[record.number], length_of(record.number))
            for record in records
        )
        return [*self._earlier, *own]

    def _observe(
        self, record: TrialRecord, seen: Sequence[EpochMetrics], epochs: int
    ) -> ObservedTrial:
        found = observe(record, seen, epochs, self._marks)
        shown = len(seen) if record.state is TrialState.RUNNING else _ENDED
        self._known[record.number] = record, shown, found
        return found


def after_shares(
    values: Mapping[int, float], epochs: int, marks: Sequence[int]
) -> dict[int, float]:
    """Returns, for each of `marks`, the trial's value after the same share of its own schedule of
    `epochs`.

    The last mark is the end of a full schedule, as `epochs` is the end of this trial's. Trainings
    of unequal length are thus compared at the same share of their schedules, such as in the middle
    or at the end.
    """
    places = {mark: max(1, round(mark * epochs / marks[-1])) for mark in marks}
    return {mark: values[place] for mark, place in places.items() if place in values}


def expected_ends(evidence: Sequence[ObservedTrial], marks: Sequence[int]) -> tuple[Vector, Vector]:
    """Returns the expected values after the last of `marks` and the variances of these, both of
    shape (n,).

    evidence: at least one trial; each has reached a mark or is unfit.

    Where a trial hasn't reached a mark, its value is extrapolated from the mark before by the line
    that fits the trials that have a value at both (one that wasn't screened has none at `SCREENED`,
    though it has later ones); the variance of these about the line is added to the
    trial's. The line's slope is shrunk towards 1, so that a few trials can't turn it round. Unfit
    trials get the lowest value of all, with a large variance.
    """
    known = [each.values for each in evidence]
    rows = (map(dict.get, known, repeat(mark), repeat(np.nan)) for mark in marks)
    table = np.stack([np.fromiter(row, np.float64, len(known)) for row in rows], axis=1)
    variances = np.zeros(len(table))
    spread = float(np.nanvar(table[:, 0]))
    for column in range(1, len(marks)):
        before, after = table[:, column - 1].copy(), table[:, column]
        lacking = np.isnan(after)
        both = ~lacking & ~np.isnan(before)
        slope, shift, scatter = _line(before[both], after[both], spread)
        table[lacking, column] = shift + slope * before[lacking]
        variances[lacking] = variances[lacking] * slope**2 + scatter
    unfit = np.array([each.unfit for each in evidence])
    values = _raise_to_floor(table[:, -1], unfit)
    # The results drop abruptly where configurations begin to be unfit. A model that had to fit this
    # cliff exactly would look for its cause in every parameter.
    variances[unfit] = (float(np.ptp(values)) / 2) ** 2
    return values, variances


def _line(before: Vector, after: Vector, spread: float) -> tuple[float, float, float]:
    """Returns the slope, the intercept and the residual variance of the line from the values at one
    mark to those at the next.

    spread: the variance of all values at the first mark, which weighs the prior towards a slope of
        1.
    """
    if len(before) < FEWEST:
        shift = float(np.mean(after - before)) if len(before) else 0.0
        return 1.0, shift, spread / 4
    off, rise = before - before.mean(), after - after.mean()
    prior = 2 * spread + 1e-12
    slope = float(np.clip((off @ rise + prior) / (off @ off + prior), 0.0, 2.0))
    rest = rise - slope * off
    variance = float(rest @ rest) / max(len(before) - 2, 1)
    return slope, float(after.mean() - slope * before.mean()), variance


def _raise_to_floor(ends: Vector, unfit: NDArray[np.bool_]) -> Vector:
    """Returns the values with low ones raised to a floor, because the depth of the worst results is
    no information on where the best lie.

    The floor lies as far below the median as twice the distance of the best value above it. Unfit
    trials get the floor itself.
    """
    middle = float(np.nanmedian(ends))
    floor = middle - 2 * max(float(np.nanmax(ends)) - middle, 1e-9)
    return np.where(unfit, floor, np.maximum(ends, floor))
