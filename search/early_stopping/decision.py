"""Decides whether a trial continues after an epoch: the order of the rules, and which trials are
exempt from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from results.analysis.pareto import ALONE
from results.records import EpochMetrics, StopReason, TrainingRecord, TrialState
from search.config.options import SearchOptions
from search.early_stopping import detection


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """Holds the rules by which trials end early, in epochs and, for gaps, in fractions; 0 turns a
    rule off.

    Where there are more `objectives` than val_top1, the rungs compare trials by all of them. The
    search proposes nothing more once another hour would gain less than `min_gain`.
    """

    epochs: int
    grace: int
    factor: int
    max_gap: float
    gap_patience: int
    plateau_patience: int
    num_classes: int
    objectives: tuple[str, ...] = ALONE
    min_gain: float = 0.0

    def only_rungs(self) -> Self:
        """Returns the rules without those that look at a trial alone or end the search."""
        return replace(self, max_gap=0.0, plateau_patience=0, min_gain=0.0)


def make_rules(
    options: SearchOptions,
    *,
    epochs: int,
    grace: int,
    num_classes: int,
    objectives: tuple[str, ...] = ALONE,
) -> Rules:
    """Returns the rules that the options of a search ask for.

    epochs, grace: the length of a whole training and the first rung.
    num_classes: the number of classes, from which the loss of a guess follows.
    objectives: what trials are compared by, val_top1 first.
    """
    return Rules(
        epochs=epochs,
        grace=grace,
        factor=options.reduction_factor,
        max_gap=options.max_gap,
        gap_patience=options.gap_patience,
        plateau_patience=options.plateau_patience,
        num_classes=num_classes,
        objectives=objectives,
        min_gain=options.min_gain,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """Describes how a trial ends: it is complete, or it is stopped or failed for a `reason` that
    `detail` explains.
    """

    state: TrialState
    reason: StopReason | None = None
    detail: str | None = None


COMPLETE = Ending(state=TrialState.COMPLETE)
"""A trial that has trained all its epochs has this ending, which needs no reason."""


def ending_of(record: TrainingRecord) -> Ending:
    """Returns the ending that the record of a training contains."""
    return Ending(state=record.state, reason=record.reason, detail=record.detail)


def stopped_ending(reason: StopReason, detail: str) -> Ending:
    """Returns the ending of a trial that a rule stops."""
    return Ending(state=TrialState.STOPPED, reason=reason, detail=detail)


def failed_ending(detail: str, reason: StopReason | None) -> Ending:
    """Returns the ending of a trial whose configuration can't be trained."""
    return Ending(state=TrialState.FAILED, reason=reason, detail=detail)


def decide_ending(
    epochs: Sequence[EpochMetrics],
    rules: Rules,
    *,
    full_epochs: int,
    is_baseline: bool,
    compare: Callable[[], bool],
    time_is_up: Callable[[], bool],
) -> Ending | None:
    """Returns how a trial ends after the last of its `epochs`, or `None` when it continues.

    Divergence is checked first, then completion and the time budget, and last the rules from which
    a horizon's baseline is exempt.

    compare: records the epoch at the rungs and returns whether the trial continues; it isn't called
        for a diverged trial.
    time_is_up: returns whether the time budget is used up.
    """
    last = epochs[-1].epoch
    if detail := detection.find_divergence(epochs, rules.num_classes):
        return stopped_ending(StopReason.DIVERGED, detail)
    goes_on = compare()
    if last >= full_epochs:
        return COMPLETE
    if time_is_up():
        return stopped_ending(StopReason.BUDGET, "the time budget is used up")
    if is_baseline:
        return None
    if rules.max_gap and (
        detail := detection.find_overfitting(epochs, rules.max_gap, rules.gap_patience)
    ):
        return stopped_ending(StopReason.OVERFITTING, detail)
    if rules.plateau_patience and (
        detail := detection.find_plateau(epochs, rules.plateau_patience)
    ):
        return stopped_ending(StopReason.PLATEAU, detail)
    if not goes_on:
        return stopped_ending(StopReason.RUNG, f"not in the top 1/{rules.factor} at epoch {last}")
    return None
