"""How a trial ends."""

from dataclasses import dataclass

from results.records import StopReason, TrialState


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a trial ends: complete, or stopped or failed for a reason told in `detail`."""

    state: TrialState
    reason: StopReason | None = None
    detail: str | None = None


COMPLETE = Ending(state=TrialState.COMPLETE)


def stopped(reason: StopReason, detail: str) -> Ending:
    """The ending of a trial that a rule stops."""
    return Ending(state=TrialState.STOPPED, reason=reason, detail=detail)


def failed(detail: str, *, out_of_memory: bool) -> Ending:
    """The ending of a trial that can't be trained."""
    reason = StopReason.MEMORY if out_of_memory else None
    return Ending(state=TrialState.FAILED, reason=reason, detail=detail)
