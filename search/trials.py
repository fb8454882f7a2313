"""What a study says of its trials: what to run, by which rules it ends, and how it has ended."""

from dataclasses import dataclass
from typing import Generic

from results.records import FinalistRecord, StopReason, TrialRecord, TrialState
from search.study.objectives import ALONE
from search.study.proposer import C


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
class Proposal(Generic[C]):
    """A trial to run; `epochs_done` of it are recorded already (after a resume).

    `repeat`, from 1, is given where a finalist's training with a fresh seed is meant; `baseline`
    marks each trial that is one, of whatever length.
    """

    number: int
    config: C
    epochs_done: int = 0
    repeat: int | None = None
    baseline: bool = False


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


def stopped(reason: StopReason, detail: str) -> Ending:
    """The ending of a trial that a rule stops."""
    return Ending(state=TrialState.STOPPED, reason=reason, detail=detail)


def failed(detail: str, reason: StopReason | None) -> Ending:
    """The ending of a trial that can't be trained."""
    return Ending(state=TrialState.FAILED, reason=reason, detail=detail)
