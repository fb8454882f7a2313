"""What Ray knows of a trial whose training broke off, and how the other trials outlive it."""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.experiment import Trial

from results.records import StopReason
from search.worker import TrialDiskError, TrialMemoryError

_HEADER = re.compile(r"^Failure # \d+ \(occurred at .*\)\n", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_RAISED = f"{TrialMemoryError.__module__}.{TrialMemoryError.__name__}: "
_REFUSED = re.compile(
    rf"^{TrialDiskError.__module__}.{TrialDiskError.__name__}: (.*)", re.MULTILINE
)
_KILLED = re.compile(r"^.* due to the node running low on memory.*$", re.MULTILINE)
"""Ray's memory monitor (ray 2.60.0) kills a worker before the system would, and says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakdown:
    """`error` is a traceback or Ray's report; as in a traceback, its end tells what happened.

    refusal: what is to be said of a disk that takes nothing more.
    """

    error: str
    reason: StopReason | None = None
    refusal: str | None = None


def breakdown(trial: Trial) -> Breakdown:
    """The latest one of a trial.

    Read from the file on this machine to which Ray appends each: `Trial.get_error` reads a copy
    that may be older, and knows nothing of what isn't raised in a worker.
    """
    path = Path(trial.error_file or "")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    error = _COLOUR.sub("", _HEADER.split(text)[-1]).strip()
    if killed := _KILLED.search(error):
        told = f"{indent(error, '  ')}\n{killed[0]}"
        return Breakdown(error=told, reason=StopReason.MEMORY)
    refused = _REFUSED.search(error)
    return Breakdown(
        error=error or "the worker ended without a word",
        reason=StopReason.MEMORY if _RAISED in error else None,
        refusal=refused[1] if refused else None,
    )


def outlive_memory_monitor() -> None:
    """Has Tune take a worker that the memory monitor killed for a dead actor.

    Ray 2.60.0 reports it as an `OutOfMemoryError`, at which Tune's loop ends with all its trials.
    """
    handle = RayActorManager._actor_task_failed
    if handle.__module__ == __name__:
        return

    def handle_any(
        self: RayActorManager, tracked_actor_task: TrackedActorTask, exception: Exception
    ) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        handle(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = handle_any  # type: ignore[method-assign]
