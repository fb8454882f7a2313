"""Changes to Ray's own behaviour, each with the version that needs it and why."""

import re

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

NODE_LOST = re.compile(
    r"its node has died|node was preempted|node it was running on is dead"
    r"|actor \w+ is unavailable: "
)
"""What Ray 2.60.0 says of a worker whose raylet ended, or that can't be reached. Of one that ended
on a node that is there, it says that the process has died."""


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
        task_failed(self, tracked_actor_task, _translate_exception(exception))

    def start_failed_anyhow(
        self: RayActorManager, tracked_actor: TrackedActor, exception: Exception
    ) -> None:
        start_failed(self, tracked_actor, _translate_exception(exception))

    trial_failed = TuneController._trial_task_failure

    def trial_failed_once(self: TuneController, trial: Trial, exception: Exception) -> None:
        self._resetting_trials.discard(trial)
        if trial.status != Trial.PENDING or not isinstance(exception, RayActorError):
            trial_failed(self, trial, exception)

    TuneController._trial_task_failure = trial_failed_once  # type: ignore[method-assign]
    RayActorManager._actor_task_failed = task_failed_anyhow  # type: ignore[method-assign]
    RayActorManager._actor_start_failed = start_failed_anyhow  # type: ignore[method-assign]


def _translate_exception(exception: Exception) -> Exception:
    said = str(exception)
    if isinstance(exception, OutOfMemoryError):
        return RayActorError(error_msg=said)
    if isinstance(exception, RayActorError) and NODE_LOST.search(said):
        return RayActorError(error_msg=said, preempted=True)
    return exception


def use_workers_started_early() -> None:
    """Has Tune ask for no environment variables of a worker's own.

    The workers that Ray starts beforehand have none, and Ray 2.60.0 passes them over for a trial
    that asks for some, as all of Tune's do: each would start a process, and wait for torch. On this
    machine workers inherit the variables anyway.
    """
    from ray.tune.execution import class_cache

    for name in ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE"):
        getattr(class_cache, name, set()).clear()
