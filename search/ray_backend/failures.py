"""What Ray knows of a trial whose training broke off, and how the other trials outlive it."""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from results.records import StopReason
from search.ray_backend.worker import TrialDiskError, TrialMemoryError

_HEADER = re.compile(r"^Failure # \d+ \(occurred at .*\)\n", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_RAISED = f"{TrialMemoryError.__module__}.{TrialMemoryError.__name__}: "
_REFUSED = re.compile(
    rf"^{TrialDiskError.__module__}.{TrialDiskError.__name__}: (.*)", re.MULTILINE
)
_KILLED = re.compile(r"^.* due to the node running low on memory.*$", re.MULTILINE)
"""Ray's memory monitor (ray 2.60.0) kills a worker before the system would, and says so."""

_NODE_LOST = re.compile(
    r"its node has died|node was preempted|node it was running on is dead"
    r"|actor \w+ is unavailable: "
)
"""What Ray says of a worker whose raylet ended, or that can't be reached. Of one that ended on a
node that is there, it says that the process has died."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakdown:
    """`error` is a traceback or Ray's report; as in a traceback, its end tells what happened.

    refusal: what is to be said of a disk that takes nothing more. node_lost: the worker's whole
    node went, which no configuration is to blame for.
    """

    error: str
    reason: StopReason | None = None
    refusal: str | None = None
    node_lost: bool = False


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
        node_lost=_NODE_LOST.search(error) is not None,
    )


def outlive_lost_workers() -> None:
    """Has Tune take a worker that the memory monitor killed for a dead actor, and one whose node
    was lost for preempted, which counts as no failure of its trial; and has it count a worker that
    is gone when its next trial comes once.

    Ray 2.60.0 reports the first as an `OutOfMemoryError`, at which Tune's loop ends with all its
    trials, and the second as preempted only where an autoscaler had announced it. Of the last it
    tells Tune twice, for the actor and for its task; at the second time the trial waits to be tried
    again, and fails for good.
    """
    if RayActorManager._actor_task_failed.__module__ == __name__:
        return
    task_failed = RayActorManager._actor_task_failed
    start_failed = RayActorManager._actor_start_failed

    def task_failed_anyhow(
        self: RayActorManager, tracked_actor_task: TrackedActorTask, exception: Exception
    ) -> None:
        task_failed(self, tracked_actor_task, _as_tune_knows_it(exception))

    def start_failed_anyhow(
        self: RayActorManager, tracked_actor: TrackedActor, exception: Exception
    ) -> None:
        start_failed(self, tracked_actor, _as_tune_knows_it(exception))

    trial_failed = TuneController._trial_task_failure

    def trial_failed_once(self: TuneController, trial: Trial, exception: Exception) -> None:
        self._resetting_trials.discard(trial)
        if trial.status != Trial.PENDING or not isinstance(exception, RayActorError):
            trial_failed(self, trial, exception)

    TuneController._trial_task_failure = trial_failed_once  # type: ignore[method-assign]
    RayActorManager._actor_task_failed = task_failed_anyhow  # type: ignore[method-assign]
    RayActorManager._actor_start_failed = start_failed_anyhow  # type: ignore[method-assign]


def _as_tune_knows_it(exception: Exception) -> Exception:
    said = str(exception)
    if isinstance(exception, OutOfMemoryError):
        return RayActorError(error_msg=said)
    if isinstance(exception, RayActorError) and _NODE_LOST.search(said):
        return RayActorError(error_msg=said, preempted=True)
    return exception
