"""Changes Ray's own behaviour, each with a reason and the version that makes it necessary."""

import re
import threading

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

NODE_LOST = re.compile(
    r"its node has died|node was preempted|node it was running on is dead"
    r"|actor \w+ is unavailable: |because its owner has died"
)
"""Ray 2.60.0 reports a worker whose raylet ended, or its driver's, or that can't be reached, by one
of these messages. For a worker that ended on a node that is up, it reports that the process has
died.
"""


def outlive_lost_workers() -> None:
    """Changes how Tune treats lost workers, in three cases.

    A worker that the memory monitor killed counts as a dead actor: Ray 2.60.0 reports an
    `OutOfMemoryError`, at which Tune's loop ends with all its trials. A worker whose node was lost
    counts as preempted, which is no failure of its trial: Ray reports it so only where an
    autoscaler had announced it. A worker that is gone when its next trial comes counts once: Ray
    reports it twice, for the actor and for its task, and the second report makes the trial, which
    waits to be tried again, fail for good.
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


def end_loop_by(ended: threading.Event) -> None:
    """Makes Tune's loop end between two of its steps once `ended` is set.

    Ray 2.60.0 has the loop watch an event of its own, which its handler of SIGUSR1 sets; it would
    replace this process's handler, `common.signals`.
    """
    from ray.tune import tune

    tune._setup_signal_catching = lambda: ended


def _translate_exception(exception: Exception) -> Exception:
    message = str(exception)
    if isinstance(exception, OutOfMemoryError):
        return RayActorError(error_msg=message)
    if isinstance(exception, RayActorError) and NODE_LOST.search(message):
        return RayActorError(error_msg=message, preempted=True)
    return exception


def use_workers_started_early() -> None:
    """Stops Tune from requesting environment variables for its workers.

    The workers that Ray starts beforehand have none, and Ray 2.60.0 doesn't use them for a trial
    that requests some, as all of Tune's do: each would start a process and wait for torch. On this
    machine, workers inherit the variables anyway.
    """
    from ray.tune.execution import class_cache

    for name in ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE"):
        getattr(class_cache, name, set()).clear()
