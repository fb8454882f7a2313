"""Carries a plan out: prepares data, weights, precision and Ray, runs the study, and ends it."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from common.cli import INTERRUPTED
from common.errors import SearchError
from common.files import causes_of, describe_full_disk
from common.signals import EndingSignals, handle_signals, has_received, hold
from common.text import last_lines
from datasets.access import open_search_data
from datasets.prepare import prepare
from datasets.splits import SearchData
from results.store import RunError, RunStore, read_manifest
from search.hardware import probe
from search.hardware.allocation import Resources
from search.hardware.calibration import Measurement
from search.monitoring.cost_text import describe_cost
from search.monitoring.monitor import Monitor
from search.monitoring.plan_text import print_start
from search.monitoring.summary import explain_early_end
from search.planning.plan import Plan, size_to_store
from search.preflight import ROOT
from search.ray_backend.local_ray import start_ray, stop_ray
from search.ray_backend.ray_cluster import LivingNodes
from search.ray_backend.slots import Slots
from search.ray_backend.task import RunFiles, ask_to_save
from search.ray_backend.tuner import run_trials
from search.security import how_to_enter, how_to_enter_cluster
from search.session import session_log
from search.session.backup import StorageSync, make_node_files
from search.session.checks import check_images, check_start, source_to_prepare, why_refused
from search.session.finish import finish
from search.session.loggers import connect_trackers, make_observers
from search.session.manifest import copy_earlier, copy_space, make_manifest, renew_journal
from search.session.session import Session, start_session
from search.session.startup import (
    allocate_gpus,
    find_measurement,
    in_precision,
    start_measurement,
    verify_training_images,
)
from search.study.observer import Observers

if TYPE_CHECKING:
    from search.ray_backend.trackers import Logger

ENDING_NOTE = "{}: ending in order. Once more leaves at once; no record is lost either way."
"""The user reads this after the first signal, whose name it begins with."""


def execute(
    plan: Plan, *, resuming: bool, measure: bool = False, verbose: bool = False, quiet: bool = False
) -> int:
    """Runs the search to its end or to a signal; returns the exit code, 128 + the signal's number
    where a signal has cut the search short.

    measure: whether the speed of training is measured even if it was measured before.

    Raises `UserError` for whatever stops it before the first trial, and `Interruption` for a signal
    before it.
    """
    console = Console(highlight=False)
    monitor = Monitor(console, plan.options.trials, verbose=verbose, quiet=quiet)
    monitor.stage("imports and plan")
    with (
        handle_signals(lambda name: monitor.interrupted(ENDING_NOTE.format(name))) as signals,
        ExitStack() as held,
    ):
        try:
            try:
                session, loggers = _open(plan, monitor, resuming, measure, held)
            except OSError as error:
                raise SearchError(why_refused(error, plan.directory)) from error
            interrupted = _run(session, plan, monitor, loggers, signals)
        finally:
            with hold():
                if plan.cluster is None:
                    stop_ray()
        if note := explain_early_end(session.study):
            monitor.warn(note)
        code = finish(plan, console, interrupted=interrupted or not session.finished())
        session.storage_sync.close()
        return signals.exit_code() or code if code == INTERRUPTED else code


def _run(
    session: Session,
    plan: Plan,
    monitor: Monitor,
    loggers: "list[Logger]",
    signals: EndingSignals,
) -> bool:
    """Trains whatever is left, and returns whether an error has cut that short.

    The first signal ends Tune's loop between two of its steps, and asks the workers to save.
    """
    ended = threading.Event()

    def end() -> None:
        ended.set()
        ask_to_save(session.store.directory)

    try:
        with hold(end):
            try:
                if session.finished():
                    monitor.inform("The search is done: nothing is left to train.")
                elif not ended.is_set():
                    _watch(session, plan, monitor, loggers, ended)
            finally:
                session.close()
    except Exception as error:  # Ray wraps whatever goes wrong in its loop
        if signals.received is None:
            monitor.warn(f"error: the search stopped: {_why(error, plan.directory)}")
        return not ended.is_set()
    return False


def _why(error: Exception, directory: Path) -> str:
    ours = (str(cause) for cause in causes_of(error) if isinstance(cause, RunError))
    return describe_full_disk(error, directory) or next(ours, last_lines(str(error)))


def _watch(
    session: Session,
    plan: Plan,
    monitor: Monitor,
    loggers: "list[Logger]",
    ended: threading.Event,
) -> None:
    """Runs the trainings until `ended` is set, and shows their progress."""
    supervisor = session.supervisor
    baselines = [horizon.first for horizon in plan.horizons]
    monitor.opened(session.limits, supervisor.history(), baselines, session.speed)
    identity = session_log.run_id(plan.name, session.manifest["sessions"])
    others = make_observers(
        plan.options, loggers, monitor.progress, identity, plan.directory, monitor.warn
    )
    slots = _slots(plan, session.resources)
    files = RunFiles(
        directory=session.store.directory, data=plan.data, node_files=session.node_files
    )
    required = (monitor, session.storage_sync)
    with Observers(required, others, monitor.warn) as observers, monitor.watching():
        run_trials(supervisor, observers, slots, files, session.watchdog, ended)


def _slots(plan: Plan, resources: Resources) -> Slots:
    """Returns the slots of the trials; on a cluster they follow the nodes that come and go."""
    if plan.cluster is None:
        return Slots(resources)
    asked = plan.options.concurrency != "auto"
    return Slots(resources, LivingNodes(plan.cluster.nodes), asked=asked)


def _open(
    plan: Plan, monitor: Monitor, resuming: bool, measure: bool, held: ExitStack
) -> "tuple[Session, list[Logger]]":
    """Prepares everything for the first trial, and returns the session and the trackers' loggers.
    What may refuse the search cheaply comes first.

    held: gets a hold of signals once the session is open, because the session must be closed.
    """
    saved = read_manifest(plan.directory) if resuming else None
    with ExitStack() as stack:
        torch = stack.enter_context(probe.TorchProcess())
        pool = stack.enter_context(ThreadPoolExecutor(1))
        port = check_start(plan, saved, torch, stack, fetch=True, measure=measure).port
        monitor.stage("checks")
        data = _data(plan, saved)
        monitor.stage("dataset")
        verification = pool.submit(verify_training_images, plan.data)
        print_start(plan, data, monitor.inform)
        if plan.machine.gpus and plan.options.gpus_per_trial == "auto":
            plan = allocate_gpus(plan, monitor.inform, torch)
        if saved is not None:
            verification.result()
            measurement = start_measurement(plan, torch, anew=True)()[0] if measure else None
            measurement = in_precision(measurement or find_measurement(plan), saved)
            precision = str(saved["precision"])
            held.enter_context(hold())
            session = open_session(plan, data, precision, saved, monitor.warn, measurement)
            _show_cost(plan, data, session, monitor)
            idle = session.finished() or has_received()
            return session, [] if idle else _start(plan, monitor, port)
        wait_for_measurement = start_measurement(plan, torch, anew=measure)
        loggers = _start(plan, monitor, port)
        measurement, why = wait_for_measurement()
        monitor.stage("precision")
        monitor.inform(f"precision  {measurement.precision} ({why})")
        verification.result()
        held.enter_context(hold())
        session = open_session(plan, data, measurement.precision, None, monitor.warn, measurement)
        _show_cost(plan, data, session, monitor)
        return session, loggers


def _show_cost(plan: Plan, data: SearchData, session: Session, monitor: Monitor) -> None:
    monitor.inform(f"cost       {describe_cost(plan, len(data.train), session.speed)}")


def _start(plan: Plan, monitor: Monitor, port: socket.socket | None) -> "list[Logger]":
    """Starts Ray unless a cluster is joined, prints the dashboard's address, and returns the
    trackers' loggers.
    """
    if port is None:
        assert plan.cluster is not None
        address, enter = "none", how_to_enter_cluster(plan.cluster.dashboard)
        if plan.cluster.dashboard:
            address = f"http://{plan.cluster.dashboard}"
    else:
        address, enter = start_ray(plan.resources, port, ROOT), how_to_enter()
    monitor.stage("Ray")
    monitor.inform(f"dashboard  {address}  ({enter})")
    return connect_trackers(plan.options, plan.name, plan.directory)


def _data(plan: Plan, saved: dict[str, Any] | None) -> SearchData:
    """Prepares the dataset and returns it. Raises `DatasetError`, and `SearchError` for images that
    this search can't use.
    """
    source = source_to_prepare(plan, resuming=saved is not None)
    prepare(plan.dataset, source=source, data=Path(plan.options.data), size=size_to_store(plan))
    data = open_search_data(plan.data)
    check_images(plan, saved, data.images.fingerprint, len(data.train))
    return data


def open_session(
    plan: Plan,
    data: SearchData,
    precision: str,
    saved: dict[str, Any] | None,
    warn: Callable[[str], object] = print,
    measurement: Measurement | None = None,
) -> Session:
    """Opens a session of a new run, or of the one with the manifest `saved`.

    precision: the precision of a new run's trainings.
    warn: reports that the run's records couldn't be copied to the storage, and each range that only
        a trial meets.
    measurement: the speed that this machine has shown before, if it has.
    """
    manifest = make_manifest(plan, data, precision, saved)
    node_files = make_node_files(plan, data.images.fingerprint)
    storage_sync = StorageSync(node_files, plan.directory, warn)
    storage_sync.start()
    if saved is None:
        store = RunStore.create(plan.directory, manifest, storage_sync.dropped)
        copy_earlier(plan, data)
    else:
        store = RunStore(plan.directory, storage_sync.dropped)
        if plan.searched.renewed:
            renew_journal(plan, store.directory, manifest)
        store.write_manifest(manifest)
    copy_space(plan.searched, store.directory, len(manifest["sessions"]))
    session = start_session(
        plan, data, store, manifest, node_files, storage_sync, warn, measurement
    )
    storage_sync.opened()
    return session
