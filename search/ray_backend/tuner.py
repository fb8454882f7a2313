"""Runs a supervisor's trainings with Ray Tune."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from results.overview.trial_log import remove_empty_logs
from results.records import TrainingId
from search.ray_backend.heartbeat import Heartbeat
from search.ray_backend.slots import Slots
from search.ray_backend.task import RunFiles, SessionEnd, Task
from search.ray_backend.watchdog import Watchdog
from search.study.observer import Observer
from search.study.supervisor import Supervisor

if TYPE_CHECKING:
    from ray import tune
    from ray.tune.experiment import Trial

_MOST_AT_ONCE = 10_000
"""Ray would otherwise let one trial wait at a time, but only slots limit the number of trials."""


def run_trials(
    supervisor: Supervisor,
    observer: Observer,
    slots: Slots,
    files: RunFiles,
    watchdog: Watchdog,
    heartbeat: Heartbeat,
    ending: SessionEnd | None = None,
    worker: "type[tune.Trainable] | None" = None,
    steer: Callable[[], object] = lambda: None,
) -> None:
    """Runs trials, then finalists, until none is proposed, or `ending` has begun. Ray must be
    running.

    worker: the class that trains, by default `TrialWorker`.
    steer: does what a user asks of the search; it is called several times a second.

    Raises `RayDied` where Ray has died, and what ends Tune's loop; Ray wraps the latter into an
    error of its own, among whose causes and contexts it is.
    """
    from ray import tune

    from search.ray_backend import ray_patches
    from search.ray_backend.callbacks import TickCallback, WatchdogCallback
    from search.ray_backend.scheduler import StudyScheduler, StudySearcher

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if not slots.on_cluster:
        ray_patches.use_workers_started_early()
    ray_patches.outlive_lost_workers()
    ending = ending or SessionEnd(files.directory)
    ray_patches.end_loop_by(ending.event)
    # Workers find the actor by its name, as long as this handle exists.
    server = _start_file_server(files) if files.node_files.driver_node else None
    scratch = files.directory.resolve() / ".ray"
    callbacks = [
        WatchdogCallback(watchdog, supervisor.epochs, _unserved(slots, observer, heartbeat)),
        TickCallback(observer, heartbeat, ending, steer),
    ]
    tuner = tune.Tuner(
        _trainable(worker),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(supervisor, observer, slots, files),
            scheduler=StudyScheduler(supervisor, observer, watchdog, slots, heartbeat.check),
            num_samples=-1,
            max_concurrent_trials=_MOST_AT_ONCE,
            reuse_actors=True,
            trial_name_creator=_name_of,
            trial_dirname_creator=lambda trial: f"{_name_of(trial)}-{trial.trial_id}",
        ),
        run_config=_run_config(scratch, callbacks),
    )
    try:
        tuner.fit()
    finally:
        del server
        ending.forget()
        shutil.rmtree(scratch, ignore_errors=True)
        remove_empty_logs(files.directory)


def _unserved(
    slots: Slots, observer: Observer, heartbeat: Heartbeat
) -> Callable[[TrainingId, str], None]:
    """Returns what is done about a training that has waited too long for a worker: a note on a
    cluster, whose nodes come and go; on one machine, Ray counts as dead.
    """
    if slots.on_cluster:
        return lambda training, why: observer.noted(training, f"{why}: see `ray status`")
    return lambda training, why: heartbeat.report(f"{training} {why}")


def _name_of(trial: "Trial") -> str:
    return str(Task.from_ray(trial.config).training)


def _start_file_server(files: RunFiles) -> object:
    from search.ray_backend.file_server import start_file_server

    run = files.directory.resolve()
    return start_file_server(files.node_files.driver_node, files.data.resolve(), run)


def _trainable(worker: "type[tune.Trainable] | None") -> "type[tune.Trainable]":
    """Returns the worker class, with the resources that Ray reserves for each training."""
    from ray import tune

    from search.ray_backend.worker import TrialWorker, resource_request

    trainable: type[tune.Trainable] = tune.with_resources(worker or TrialWorker, resource_request)
    trainable.__qualname__ = trainable.__name__  # which is what the dashboard shows of an actor
    return trainable


def _run_config(scratch: Path, callbacks: "list[tune.Callback]") -> "tune.RunConfig":
    """Returns a configuration without checkpoints of Ray's; the scheduler sets the retries."""
    from ray import tune

    return tune.RunConfig(
        name="tune",
        storage_path=str(scratch),
        verbose=0,
        # It says nothing, whereas the one that Ray takes in a notebook clears the cell's output.
        progress_reporter=tune.CLIReporter(),
        callbacks=callbacks,
        # The trainable writes its own checkpoints, of what can't be made again.
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
    )
