"""What a study knows of its configurations, as numbers that a model can be fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.records import EpochMetrics, StopReason, TrialRecord, TrialState
from search.samplers.encoding import Vector

FEWEST = 4
"""Trials that must have reached two rungs before a line is fitted from one to the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservedTrial:
    """One configuration: its parameters, and its value (higher is better) after each epoch.

    `running`: more values will come. `unfit`: it diverged or doesn't fit into memory, and is as
    bad as any, whatever values it had.
    """

    params: Mapping[str, Any]
    values: Mapping[int, float]
    running: bool = False
    unfit: bool = False


def value_of(metrics: EpochMetrics) -> float:
    """The metric that the search maximises; it is missing in final training only."""
    return metrics.val_top1 if metrics.val_top1 is not None else 0.0


def observe(
    record: TrialRecord, seen: Sequence[EpochMetrics], epochs: int, marks: Sequence[int]
) -> ObservedTrial:
    """What a trial whose full training takes `epochs` tells after those that were `seen`.

    A failure that isn't its own tells nothing.
    """
    values = {metrics.epoch: value_of(metrics) for metrics in seen}
    return ObservedTrial(
        params=record.params,
        values=after_shares(values, epochs, marks),
        running=record.state is TrialState.RUNNING,
        unfit=record.reason in (StopReason.DIVERGED, StopReason.MEMORY),
    )


class ObservationCache:
    """What ended trials tell, found once: of thousands it would take longer than to propose.

    `marks` as in `observe`.
    """

    def __init__(self, marks: Sequence[int]) -> None:
        self._marks = marks
        self._ended: dict[int, tuple[TrialRecord, ObservedTrial]] = {}

    def of(self, record: TrialRecord, seen: Sequence[EpochMetrics], epochs: int) -> ObservedTrial:
        """`observe` the trial as it stands."""
        known = self._ended.get(record.number)
        if known is not None and known[0] is record:  # a record that changes is another object
            return known[1]
        found = observe(record, seen, epochs, self._marks)
        if record.state is not TrialState.RUNNING:
            self._ended[record.number] = record, found
        return found


def after_shares(
    values: Mapping[int, float], epochs: int, marks: Sequence[int]
) -> dict[int, float]:
    """By each of `marks`, a trial's value after the same share of its own schedule of `epochs`.

    The last mark is the end of a schedule, as `epochs` are of this one: what is compared then is
    how two trainings of unequal length stand in the middle of theirs, or at their ends.
    """
    places = {mark: max(1, round(mark * epochs / marks[-1])) for mark in marks}
    return {mark: values[place] for mark, place in places.items() if place in values}


def expected_ends(evidence: Sequence[ObservedTrial], marks: Sequence[int]) -> tuple[Vector, Vector]:
    """(values, variances) after the last of `marks`.

    Each of the evidence, which must not be empty, has reached the first mark, or is unfit.

    Where a trial hasn't come so far, its value is carried from mark to mark by the line that
    fits the trials that reached both; what these scatter about it is added to the variance. The
    line's slope is drawn towards 1, so that a few trials don't turn it round. What is unfit has
    the lowest value of all, but not for sure.
    """
    table = np.array([[each.values.get(mark, np.nan) for mark in marks] for each in evidence])
    variances = np.zeros(len(table))
    spread = float(np.nanvar(table[:, 0]))
    for column in range(1, len(marks)):
        before, after = table[:, column - 1].copy(), table[:, column]
        lacking = np.isnan(after)
        slope, shift, scatter = _line(before[~lacking], after[~lacking], spread)
        table[lacking, column] = shift + slope * before[lacking]
        variances[lacking] = variances[lacking] * slope**2 + scatter
    unfit = np.array([each.unfit for each in evidence])
    values = _bounded(table[:, -1], unfit)
    # Where it begins not to fit is a cliff: a model that had to meet it exactly would look for its
    # cause in every parameter.
    variances[unfit] = (float(np.ptp(values)) / 2) ** 2
    return values, variances


def _line(before: Vector, after: Vector, spread: float) -> tuple[float, float, float]:
    """(slope, shift, variance about it) from the values at one mark to those at the next."""
    if len(before) < FEWEST:
        shift = float(np.mean(after - before)) if len(before) else 0.0
        return 1.0, shift, spread / 4
    off, rise = before - before.mean(), after - after.mean()
    prior = 2 * spread + 1e-12
    slope = float(np.clip((off @ rise + prior) / (off @ off + prior), 0.0, 2.0))
    rest = rise - slope * off
    variance = float(rest @ rest) / max(len(before) - 2, 1)
    return slope, float(after.mean() - slope * before.mean()), variance


def _bounded(ends: Vector, unfit: NDArray[np.bool_]) -> Vector:
    """How bad the worst are tells nothing about where the best lie, so none is far below the rest.

    The floor lies below the median by twice what the best lies above it; on it lies all that is
    unfit.
    """
    middle = float(np.nanmedian(ends))
    floor = middle - 2 * max(float(np.nanmax(ends)) - middle, 1e-9)
    return np.where(unfit, floor, np.maximum(ends, floor))
