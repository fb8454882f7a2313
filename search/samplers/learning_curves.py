"""Turns the learning curves of a study into numbers that a model can be fitted to."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from results.records import EpochMetrics, StopReason, TrialRecord, TrialState
from search.samplers.encoding import Matrix, Vector

Flags = NDArray[np.bool_]
"""A vector of truth values."""

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


class Evidence(Sequence[ObservedTrial]):
    """Holds what configurations have shown, and the same in columns, because to walk through
    thousands for each number would take longer than the model that is fitted to them.

    marks: the epochs at which trials are compared.
    `params` holds the parameters of each trial.
    """

    def __init__(self, marks: Sequence[int], trials: Iterable[ObservedTrial] = ()) -> None:
        self.marks = tuple(marks)
        self._trials: list[ObservedTrial] = []
        self.params: list[Mapping[str, Any]] = []
        self._table: Matrix = np.empty((0, len(self.marks)))
        self._flags = np.empty((0, 3), dtype=np.bool_)
        for trial in trials:
            self.append(trial)

    @overload
    def __getitem__(self, at: int) -> ObservedTrial: ...
    @overload
    def __getitem__(self, at: slice) -> list[ObservedTrial]: ...
    def __getitem__(self, at: int | slice) -> ObservedTrial | list[ObservedTrial]:
        return self._trials[at]

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[ObservedTrial]:
        return iter(self._trials)

    @property
    def table(self) -> Matrix:
        """Returns the value of each trial after each mark, of shape (n, marks), NaN for none."""
        return self._table[: len(self)]

    @property
    def unfit(self) -> Flags:
        """Returns which trials are unfit, of shape (n,)."""
        return self._flags[: len(self), 0]

    @property
    def running(self) -> Flags:
        """Returns which trials are running, of shape (n,)."""
        return self._flags[: len(self), 1]

    @property
    def tried(self) -> Flags:
        """Returns which trials were tried, of shape (n,)."""
        return self._flags[: len(self), 2]

    def append(self, trial: ObservedTrial) -> None:
        """Adds a trial at the end."""
        if len(self) == len(self._table):  # room for as many again, so that growing costs little
            more = max(64, len(self))
            self._table = np.concatenate([self._table, np.empty((more, len(self.marks)))])
            self._flags = np.concatenate([self._flags, np.empty((more, 3), dtype=np.bool_)])
        self._trials.append(trial)
        self.params.append(trial.params)
        self.replace(len(self) - 1, trial)

    def replace(self, at: int, trial: ObservedTrial) -> None:
        """Puts a trial in the place of the one at `at`."""
        self._trials[at], self.params[at] = trial, trial.params
        self._table[at] = [trial.values.get(mark, np.nan) for mark in self.marks]
        self._flags[at] = trial.unfit, trial.running, trial.tried

    def copy(self) -> "Evidence":
        """Returns a copy, which later changes leave as it is."""
        made = Evidence(self.marks)
        made._trials, made.params = self._trials.copy(), self.params.copy()
        made._table, made._flags = self.table.copy(), self._flags[: len(self)].copy()
        return made


class ObservationCache:
    """Keeps the observations of a study's trials up to date, because computing those of thousands
    would take longer than a proposal. That of an ended trial stays, until the trial is forgotten.

    marks: the epochs at which trials are compared.
    earlier: observations from before the study, which come first.
    """

    def __init__(self, marks: Sequence[int], earlier: Iterable[ObservedTrial] = ()) -> None:
        self._evidence = Evidence(marks, earlier)
        self._met = 0
        self._places: dict[int, int] = {}
        self._open: dict[int, tuple[TrialRecord | None, int]] = {}

    def of(
        self,
        records: Mapping[int, TrialRecord],
        epochs: Mapping[int, Sequence[EpochMetrics]],
        length_of: Callable[[int], int],
        counts: Callable[[TrialRecord], bool],
    ) -> Evidence:
        """Returns the earlier observations, and that of each trial as it stands, in the order of
        the records, of which none leaves or changes its place.

        epochs: what each trial has shown, by its number.
        length_of: returns the number of epochs of a trial's full training, by its number.
        counts: returns whether a trial is observed, which never changes.
        """
        for number, record in islice(records.items(), self._met, None):
            if counts(record):
                self._open[number] = None, 0
        self._met = len(records)
        for number, before in list(self._open.items()):
            record, seen = records[number], epochs[number]
            # Records are immutable: a trial whose state has changed has another record.
            if before[0] is not record or before[1] != len(seen):
                self._observe(record, seen, length_of(number))
        return self._evidence.copy()

    def forget(self, number: int) -> None:
        """Observes an ended trial once more at the next call."""
        if number in self._places:
            self._open[number] = None, 0

    def _observe(self, record: TrialRecord, seen: Sequence[EpochMetrics], epochs: int) -> None:
        found, number = observe(record, seen, epochs, self._evidence.marks), record.number
        if number in self._places:
            self._evidence.replace(self._places[number], found)
        else:
            self._places[number] = len(self._evidence)
            self._evidence.append(found)
        if record.state is TrialState.RUNNING:
            self._open[number] = record, len(seen)
        else:
            del self._open[number]


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
    held = as_evidence(evidence, marks)
    return extrapolate(held.table, held.unfit)


def as_evidence(evidence: Sequence[ObservedTrial], marks: Sequence[int]) -> Evidence:
    """Returns the evidence in columns of these marks: itself, where it has them already."""
    if isinstance(evidence, Evidence) and evidence.marks == tuple(marks):
        return evidence
    return Evidence(marks, evidence)


def extrapolate(table: Matrix, unfit: Flags) -> tuple[Vector, Vector]:
    """Returns what `expected_ends` does, from the trials' values after each mark, of shape (n,
    marks), and from which of them are unfit.
    """
    table, variances = table.copy(), np.zeros(len(table))
    spread = float(np.nanvar(table[:, 0]))
    for column in range(1, table.shape[1]):
        before, after = table[:, column - 1].copy(), table[:, column]
        lacking = np.isnan(after)
        both = ~lacking & ~np.isnan(before)
        slope, shift, scatter = _line(before[both], after[both], spread)
        table[lacking, column] = shift + slope * before[lacking]
        variances[lacking] = variances[lacking] * slope**2 + scatter
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
