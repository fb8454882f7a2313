"""Whether a trial goes on after an epoch: the order of the rules, and who is exempt from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from results.analysis.pareto import ALONE
from results.records import EpochMetrics, FinalistRecord, StopReason, TrialRecord, TrialState
from search.early_stopping import rules as stopping


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """When trials end early. Epoch counts, and gaps as fractions; 0 turns a rule off.

    With more `objectives` than val_top1, rungs compare by all of them.
    """

    epochs: int
    grace: int
    factor: int
    max_gap: float
    gap_patience: int
    plateau_patience: int
    num_classes: int
    objectives: tuple[str, ...] = ALONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a trial ends: complete, or stopped or failed for a reason told in `detail`."""

    state: TrialState
    reason: StopReason | None = None
    detail: str | None = None


COMPLETE = Ending(state=TrialState.COMPLETE)


def ending_of(record: TrialRecord | FinalistRecord) -> Ending:
    """How a training has ended, as its record tells."""
    return Ending(state=record.state, reason=record.reason, detail=record.detail)


def stopped_ending(reason: StopReason, detail: str) -> Ending:
    """The ending of a trial that a rule stops."""
    return Ending(state=TrialState.STOPPED, reason=reason, detail=detail)


def failed_ending(detail: str, reason: StopReason | None) -> Ending:
    """The ending of a trial that can't be trained."""
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
    """How a trial of `full_epochs` ends after the last of its `epochs`; `None` when it goes on.

    Divergence first, then completion, then what the baseline is exempt from. `compare` records
    that epoch at the rungs and says whether the trial goes on; a diverged one isn't compared.
    """
    last = epochs[-1].epoch
    if said := stopping.find_divergence(epochs, rules.num_classes):
        return stopped_ending(StopReason.DIVERGED, said)
    goes_on = compare()
    if last >= full_epochs:
        return COMPLETE
    if time_is_up():
        return stopped_ending(StopReason.BUDGET, "the time budget is used up")
    if is_baseline:
        return None
    if rules.max_gap and (
        said := stopping.find_overfitting(epochs, rules.max_gap, rules.gap_patience)
    ):
        return stopped_ending(StopReason.OVERFITTING, said)
    if rules.plateau_patience and (said := stopping.find_plateau(epochs, rules.plateau_patience)):
        return stopped_ending(StopReason.PLATEAU, said)
    if not goes_on:
        return stopped_ending(StopReason.RUNG, f"not in the top 1/{rules.factor} at epoch {last}")
    return None
