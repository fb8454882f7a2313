"""Starts Ray on this machine, assembles Ray Tune around a study and runs it."""

import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from results.finalist_store import FinalistStore
from results.records import TrialState
from results.store import RunStore
from search.hardware.allocation import Resources
from search.monitoring.monitor import Monitor
from search.naming import listed
from search.ray_backend.node_files import Supply
from search.ray_backend.ray_cluster import ClusterError, quieten
from search.ray_backend.slots import Seats
from search.ray_backend.watchdog import Training, Watchdog
from search.security import keep_token_private, stay_on_this_machine
from search.study.finalists import Finalists
from search.study.study import Study
from search.trials import Proposal
from trainables.config import TrialConfig

if TYPE_CHECKING:
    from ray import tune
    from ray.tune.experiment import Trial

_MOST_AT_ONCE = 10_000
"""For Ray, which would otherwise let one trial wait at a time; seats are what limits them."""

FIRST_PORT = 8265
"""Ray's own default for the dashboard."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """Where the Ray dashboard shall listen: `port` is `auto` or a number."""

    host: str
    port: str


def reserve_port(dashboard: Dashboard) -> socket.socket:
    """A socket bound to the dashboard's port, beside which Ray may listen and no other search may.

    Close it when Ray runs. Raises `ClusterError` when the port asked for is taken.
    """
    if dashboard.port != "auto":
        found = _bound(dashboard.host, int(dashboard.port), alone=False)
        if found is None:
            raise ClusterError(
                f"--dashboard-port must be free, but {dashboard.port} is in use on "
                f"{dashboard.host}; choose another, or auto."
            )
        return found
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        if found := _bound(dashboard.host, port, alone=True):
            return found
    raise ClusterError(f"--dashboard-port auto found none free from {FIRST_PORT} up; name one.")


def _bound(host: str, port: int, *, alone: bool) -> socket.socket | None:
    """A socket bound to a port on which nobody listens; `None` where that can't be.

    alone: nor may anybody else be bound to it, which a port whose connections have just been
    closed counts as for a minute. Afterwards whoever allows it, as Ray does, may be bound there
    too.
    """
    found = socket.socket()
    try:
        if not alone:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        found.close()
        return None
    return found


def start_ray(resources: Resources, reserved: socket.socket, root: Path) -> str:
    """Starts Ray on this machine and returns the address of its dashboard, at the reserved port.

    Raises `ClusterError` when Ray doesn't start.
    """
    quieten()
    _start_workers_early(resources)
    os.environ["PYTHONPATH"] = str(root)
    stay_on_this_machine()
    import ray

    host, port = reserved.getsockname()
    try:
        context = ray.init(
            address="local",  # never by accident a cluster that somebody else has started
            num_cpus=resources.concurrent * resources.threads,
            include_dashboard=True,
            dashboard_host=host,
            dashboard_port=port,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except Exception as error:  # a dashboard that can't start raises nothing more special
        raise ClusterError(f"Ray doesn't start: {error}; its logs are in /tmp/ray.") from error
    keep_token_private()
    return f"http://{context.dashboard_url}"


def stop_ray() -> None:
    """Ends Ray, where it runs."""
    ray = sys.modules.get("ray")
    if ray is None:
        return
    # Ray's autoscaler, with nothing to scale here, answers a polite end only a second later.
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if any("autoscaler" in part for part in process.cmdline()):
                process.kill()
    ray.shutdown()


def _start_workers_early(resources: Resources) -> None:
    """Has the workers import what they need while Ray itself starts and precision is measured.

    Ray starts one worker a CPU beforehand, so only where a trial takes one; and it would end
    those that aren't asked for a trial within a second.
    """
    early = resources.threads == 1 and not resources.gpus
    settings = {"prestart_worker_first_driver": str(int(early))}
    if early:
        settings |= {
            "idle_worker_killing_time_threshold_ms": "600000",
            "preload_python_modules": "search.ray_backend.preload",
        }
    os.environ.update({f"RAY_{name}": value for name, value in settings.items()})


def _use_workers_started_early() -> None:
    """They have no environment variables of their own, and are passed over for trials that ask for
    some, as Tune's do. On this machine they inherit them anyway.
    """
    from ray.tune.execution import class_cache

    for name in ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE"):
        getattr(class_cache, name, set()).clear()


def _checkpoint(store: RunStore, proposal: Proposal[TrialConfig]) -> Path:
    """Where this training keeps its checkpoint."""
    if proposal.repeat is None:
        return store.checkpoint(proposal.number)
    return FinalistStore(store.directory).checkpoint((proposal.number, proposal.repeat))


def _open_home(supply: Supply, data: Path, directory: Path) -> object:
    from search.ray_backend.file_server import open_home

    return open_home(supply.home, data.resolve(), directory / "checkpoints")


def _tell_unborn(study: Study[TrialConfig], monitor: Monitor) -> None:
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
    seats: Seats,
    data: Path,
    supply: Supply,
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

    from search.bundles import requested
    from search.exporter import Exporter
    from search.ray_backend.callbacks import StallCallback
    from search.ray_backend.failures import outlive_lost_workers
    from search.ray_backend.scheduler import StudyScheduler
    from search.ray_backend.searcher import StudySearcher
    from search.ray_backend.worker import TrialWorker

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if not seats.on_cluster:
        _use_workers_started_early()
    outlive_lost_workers()
    directory = store.directory.resolve()
    # Named, and there as long as it is held here.
    home = _open_home(supply, data, directory) if supply.home else None

    def task(proposal: Proposal[TrialConfig], seat: Resources) -> dict[str, Any]:
        _tell_unborn(study, monitor)
        monitor.started(proposal, seat.gpus)
        return {
            "number": proposal.number,
            "repeat": proposal.repeat,
            "config": proposal.config.to_dict(),
            "epochs_done": proposal.epochs_done,
            "data": str(data.resolve()),
            "checkpoint": str(_checkpoint(store, proposal).resolve()),
            **seats.place(seat),
            "supply": supply,
            "measure": study.unmeasured(proposal.number),
        }

    def named(trial: "Trial") -> str:
        return listed(trial.config["number"], trial.config["repeat"])

    def seconds(training: Training) -> list[float]:
        number, repeat = training
        known = finalists.epochs[number, repeat] if repeat else study.epochs[number]
        return [metrics.wall_s for metrics in known]

    scratch, stalls = directory / ".ray", StallCallback(watchdog, seconds)
    trainable = tune.with_resources(worker or TrialWorker, requested)
    trainable.__qualname__ = trainable.__name__  # which is what the dashboard shows of an actor
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(study, finalists, task, seats),
            scheduler=StudyScheduler(study, finalists, monitor, watchdog, seats, on_epoch),
            num_samples=-1,
            max_concurrent_trials=_MOST_AT_ONCE,
            reuse_actors=True,
            trial_name_creator=named,
            trial_dirname_creator=lambda trial: f"{named(trial)}-{trial.trial_id}",
        ),
        run_config=_run_config(scratch, [stalls, Exporter(monitor.progress)]),
    )
    try:
        tuner.fit()
    finally:
        del home
        shutil.rmtree(scratch, ignore_errors=True)
