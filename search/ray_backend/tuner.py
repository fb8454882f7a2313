"""Starts Ray on this machine, assembles Ray Tune around a study and runs it."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.finalist_store import FinalistStore
from results.records import TrialState, training_name
from results.store import RunStore
from search.hardware.allocation import Resources
from search.monitoring.monitor import Monitor
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.slots import Slots
from search.ray_backend.watchdog import TrainingId, Watchdog
from search.study.finalists import Finalists
from search.study.proposal import Proposal
from search.study.study import Study
from trainables.config import TrialConfig

if TYPE_CHECKING:
    from ray import tune
    from ray.tune.experiment import Trial

_MOST_AT_ONCE = 10_000
"""For Ray, which would otherwise let one trial wait at a time; slots are what limits them."""


def _checkpoint_path(store: RunStore, proposal: Proposal[TrialConfig]) -> Path:
    """Where this training keeps its checkpoint."""
    if proposal.repeat is None:
        return store.checkpoint(proposal.number)
    return FinalistStore(store.directory).checkpoint((proposal.number, proposal.repeat))


def _start_file_server(node_files: NodeFiles, data: Path, directory: Path) -> object:
    from search.ray_backend.file_server import start_file_server

    return start_file_server(node_files.driver_node, data.resolve(), directory / "checkpoints")


def _report_failed_proposals(study: Study[TrialConfig], monitor: Monitor) -> None:
    """Trials that failed when they were proposed, since their configuration can't be trained."""
    for record in reversed(study.records.values()):
        if (record.number, None) in monitor.progress.trainings:
            return
        if record.state is TrialState.FAILED:
            monitor.ended(record)


def _run_config(scratch: Path, callbacks: "list[tune.Callback]") -> "tune.RunConfig":
    """One retry of a finalist's training (of a trial's, the scheduler says it), and no checkpoints
    of Ray's.
    """
    from ray import tune

    return tune.RunConfig(
        name="tune",
        storage_path=str(scratch),
        verbose=0,
        callbacks=callbacks,
        failure_config=tune.FailureConfig(max_failures=1),
        # The trainable writes its own checkpoints, of what can't be made again.
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
    )


def run_trials(
    study: Study[TrialConfig],
    finalists: Finalists,
    store: RunStore,
    monitor: Monitor,
    slots: Slots,
    data: Path,
    node_files: NodeFiles,
    watchdog: Watchdog,
    *,
    on_epoch: Callable[[], object] = lambda: None,
    worker: "type[tune.Trainable] | None" = None,
) -> None:
    """Runs trials, then finalists, until none is proposed, or Ctrl-C. Ray must be running.

    on_epoch: called before each epoch is taken. worker: what trains them, by default `TrialWorker`.
    Whatever ends Tune's loop is raised, by Ray as an error of its own that has the first one among
    its causes and contexts.
    """
    from ray import tune

    from search.ray_backend.callbacks import MetricsExporter, WatchdogCallback
    from search.ray_backend.ray_patches import outlive_lost_workers, use_workers_started_early
    from search.ray_backend.scheduler import StudyScheduler
    from search.ray_backend.searcher import StudySearcher
    from search.ray_backend.worker import TrialWorker, resource_request

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if not slots.on_cluster:
        use_workers_started_early()
    outlive_lost_workers()
    directory = store.directory.resolve()
    # Named, and there as long as it is held here.
    file_server = (
        _start_file_server(node_files, data, directory) if node_files.driver_node else None
    )

    def task(proposal: Proposal[TrialConfig], slot: Resources) -> dict[str, Any]:
        _report_failed_proposals(study, monitor)
        monitor.started(proposal, slot.gpus)
        return {
            "number": proposal.number,
            "repeat": proposal.repeat,
            "config": proposal.config.to_dict(),
            "epochs_done": proposal.epochs_done,
            "data": str(data.resolve()),
            "checkpoint": str(_checkpoint_path(store, proposal).resolve()),
            **slots.place(slot),
            "supply": node_files,
            "measure": study.unmeasured(proposal.number),
        }

    def named(trial: "Trial") -> str:
        return training_name(trial.config["number"], trial.config["repeat"])

    def seconds(training: TrainingId) -> list[float]:
        number, repeat = training
        known = finalists.epochs[number, repeat] if repeat else study.epochs[number]
        return [metrics.wall_s for metrics in known]

    scratch, watchdog_callback = directory / ".ray", WatchdogCallback(watchdog, seconds)
    trainable = tune.with_resources(worker or TrialWorker, resource_request)
    trainable.__qualname__ = trainable.__name__  # which is what the dashboard shows of an actor
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(study, finalists, task, slots),
            scheduler=StudyScheduler(study, finalists, monitor, watchdog, slots, on_epoch),
            num_samples=-1,
            max_concurrent_trials=_MOST_AT_ONCE,
            reuse_actors=True,
            trial_name_creator=named,
            trial_dirname_creator=lambda trial: f"{named(trial)}-{trial.trial_id}",
        ),
        run_config=_run_config(scratch, [watchdog_callback, MetricsExporter(monitor.progress)]),
    )
    try:
        tuner.fit()
    finally:
        del file_server
        shutil.rmtree(scratch, ignore_errors=True)
