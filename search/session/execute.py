"""Carries a plan out: prepares data, weights, precision and Ray, runs the study, and ends it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from common.cli import INTERRUPTED
from common.errors import SearchError
from common.ownership import why_unsigned
from common.signals import EndingSignals, handle_signals, has_received, hold, leave
from datasets.splits import SearchData
from results.analysis.run_records import RunRecords, read_run_records
from results.store import RunStore, read_manifest
from search.hardware.calibration import Measurement
from search.monitoring.monitor import Monitor
from search.monitoring.plans.cost_text import describe_cost, describe_screening
from search.monitoring.plans.plan_text import print_start
from search.monitoring.summary import explain_early_end
from search.planning.plan import Plan
from search.ray_backend.heartbeat import Heartbeat
from search.ray_backend.local_ray import keep_logs, link_ray
from search.ray_backend.task import RunFiles, SessionEnd
from search.ray_backend.tuner import run_trials
from search.session import session_log
from search.session.backup import StorageSync, make_node_files
from search.session.checks import check_start, prepare_images, why_refused
from search.session.finish import finish, why_stopped
from search.session.gpu_allocation import allocate_gpus, divide_gpus, ray_may_start_first
from search.session.hooks.hooks import Hooks
from search.session.loggers import make_observers
from search.session.manifest import (
    copy_earlier,
    copy_space,
    make_manifest,
    prepare_journal,
    read_screening,
)
from search.session.ray_life import close_ray, make_heartbeat, make_slots, open_ray
from search.session.recovery import Recovery
from search.session.session import Session, start_session
from search.session.startup import (
    find_measurement,
    in_precision,
    start_measurement,
    torch_process,
    verify_training_images,
)
from search.session.steering.steered_session import open_mailbox, steered_plan
from search.study.observer import Observers

if TYPE_CHECKING:
    from search.ray_backend.trackers import Logger

ENDING_NOTE = "{}: ending in order. Once more leaves at once; no record is lost either way."
"""The user reads this after the first signal, whose name it begins with."""


def execute(
    plan: Plan,
    monitor: Monitor,
    *,
    resuming: bool,
    measure: bool = False,
    again: Sequence[str] = (),
    hooks: Hooks | None = None,
    leave: Callable[[int], object] = leave,
) -> int:
    """Runs the search to its end or to a signal; returns the exit code, 128 + the signal's number
    where a signal has cut the search short.

    measure: whether the speed of training is measured even if it was measured before.
    again: the words of the command line by which a new process goes on if Ray dies.
    hooks: the user's commands for new best trials, which also learn what has stopped the search.
    leave: ends this process with an exit code, after a second signal and where Ray has died.

    Raises `UserError` for whatever stops it before the first trial, and `Interruption` for a signal
    before it. Doesn't return if Ray dies.
    """
    hooks = hooks or Hooks(plan)
    monitor.stage("imports and plan")
    recovery = Recovery(plan, monitor, again, hooks=hooks, leave=leave)
    heartbeat = make_heartbeat(plan, recovery.conclude)

    def show(name: str) -> None:
        recovery.interrupted(ENDING_NOTE.format(name))

    with handle_signals(show, leave) as signals, ExitStack() as held:
        try:
            try:
                session, loggers = _open(plan, monitor, heartbeat, resuming, measure, held)
            except OSError as error:
                raise SearchError(why_refused(error, plan.directory)) from error
            recovery.session = session
            interrupted = _run(session, plan, monitor, heartbeat, loggers, signals, hooks)
            plan = steered_plan(plan, session.manifest)
        except KeyboardInterrupt:
            if heartbeat.reason is not None:
                heartbeat.leave()
                recovery.conclude(heartbeat.reason)
            raise
        finally:
            with hold():
                close_ray(plan, heartbeat)
        if note := explain_early_end(session.study):
            monitor.warn(note)
        code = finish(plan, monitor.console, interrupted=interrupted or not session.finished())
        session.storage_sync.close()
        return signals.exit_code() or code if code == INTERRUPTED else code


def _run(
    session: Session,
    plan: Plan,
    monitor: Monitor,
    heartbeat: Heartbeat,
    loggers: "list[Logger]",
    signals: EndingSignals,
    hooks: Hooks,
) -> bool:
    """Trains whatever is left, and returns whether an error has cut that short.

    The first signal ends Tune's loop between two of its steps, and asks the workers to save. Raises
    `RayDied`.
    """
    ending = SessionEnd(session.store.directory, session.time_is_up)
    try:
        with hold(ending.begin):
            try:
                if session.finished():
                    monitor.inform("The search is done: nothing is left to train.")
                elif not ending.event.is_set():
                    _watch(session, plan, monitor, heartbeat, loggers, ending, hooks)
            finally:
                session.close()
    except Exception as error:  # Ray wraps whatever goes wrong in its loop
        if signals.received is None:
            hooks.error = f"The search stopped: {why_stopped(error, plan.directory)}"
            monitor.warn(f"error: {hooks.error[0].lower()}{hooks.error[1:]}")
            if kept := keep_logs(plan.directory):
                monitor.warn(kept)
        return not ending.event.is_set()
    return False


def _watch(
    session: Session,
    plan: Plan,
    monitor: Monitor,
    heartbeat: Heartbeat,
    loggers: "list[Logger]",
    ending: SessionEnd,
    hooks: Hooks,
) -> None:
    """Runs the trainings until `ending` has begun, and shows their progress."""
    link_ray(plan.directory)
    supervisor = session.supervisor
    baselines = [horizon.first for horizon in plan.horizons]
    monitor.opened(session.limits, supervisor.history(), baselines, session.speed, session.meter)
    identity = session_log.run_id(plan.name, session.manifest["sessions"])
    others = make_observers(
        plan.options, loggers, monitor.progress, identity, plan.directory, monitor.warn
    )
    slots = make_slots(plan, session)
    files = RunFiles(
        directory=session.store.directory, data=plan.data, node_files=session.node_files
    )
    others += hooks.observers(session.study)
    required = (session.meter, monitor, session.storage_sync)
    with (
        Observers(required, others, monitor.warn) as observers,
        open_mailbox(plan.directory, session.steering, observers, monitor.warn) as steer,
        monitor.watching(),
    ):
        run_trials(
            supervisor, observers, slots, files, session.watchdog, heartbeat, ending, steer=steer
        )
    if session.time_is_up():
        monitor.inform("The time budget is used up.")


def _open(
    plan: Plan,
    monitor: Monitor,
    heartbeat: Heartbeat,
    resuming: bool,
    measure: bool,
    held: ExitStack,
) -> "tuple[Session, list[Logger]]":
    """Prepares everything for the first trial, and returns the session and the trackers' loggers.
    What may refuse the search cheaply comes first.

    held: gets a hold of signals once the session is open, because the session must be closed.
    """
    saved = read_manifest(plan.directory) if resuming else None
    with ExitStack() as stack:
        # What threads wait for ends before them, also when the search is interrupted.
        pool = stack.enter_context(ThreadPoolExecutor(2))
        torch = stack.enter_context(torch_process(plan))
        checks = check_start(plan, saved, torch, stack, fetch=True)
        records = checks.records
        monitor.stage("checks")
        data = prepare_images(plan, saved)
        monitor.stage("dataset")
        verification = pool.submit(verify_training_images, plan.data)
        print_start(plan, data, monitor.inform)
        images, inform = len(data.train), monitor.inform
        if saved is not None:
            verification.result()
            measurement = start_measurement(plan, torch, anew=True)()[0] if measure else None
            measurement = in_precision(measurement or find_measurement(plan), saved)
            precision = str(saved["precision"])
            plan = allocate_gpus(plan, precision, inform, torch, images=images, anew=measure)
            held.enter_context(hold())
            session = open_session(plan, data, precision, saved, monitor.warn, measurement, records)
            _show_cost(plan, data, session, monitor)
            idle = session.finished() or has_received()
            return session, [] if idle else open_ray(plan, monitor, heartbeat, checks, held)
        wait = start_measurement(plan, torch, anew=measure)
        divided = pool.submit(divide_gpus, plan, wait, inform, torch, images=images, anew=measure)
        early = ray_may_start_first(plan)
        loggers = open_ray(plan if early else divided.result(), monitor, heartbeat, checks, held)
        plan, (measurement, why) = divided.result(), wait()
        monitor.stage("precision")
        monitor.inform(f"precision  {measurement.precision} ({why})")
        verification.result()
        held.enter_context(hold())
        session = open_session(plan, data, measurement.precision, None, monitor.warn, measurement)
        _show_cost(plan, data, session, monitor)
        return session, loggers


def _show_cost(plan: Plan, data: SearchData, session: Session, monitor: Monitor) -> None:
    planned = read_screening(session.manifest)
    if before := describe_screening(planned):
        monitor.inform(f"before     {before}")
    whole = "the whole run: " if len(session.manifest["sessions"]) > 1 else ""
    cost = describe_cost(plan, len(data.train), session.speed, planned)
    monitor.inform(f"cost       {whole}{cost}")


def open_session(
    plan: Plan,
    data: SearchData,
    precision: str,
    saved: dict[str, Any] | None,
    warn: Callable[[str], object] = print,
    measurement: Measurement | None = None,
    records: RunRecords | None = None,
) -> Session:
    """Opens a session of a new run, or of the one with the manifest `saved`.

    precision: the precision of a new run's trainings.
    warn: reports that the run's records couldn't be copied to the storage, and each range that only
        a trial meets.
    measurement: the speed that this machine has shown before, if it has.
    records: those of a run that goes on, where they have been read; they are read again if another
        process has added to them since.
    """
    manifest = make_manifest(plan, data, precision, saved, measurement)
    node_files = make_node_files(plan, data.images.fingerprint)
    storage_sync = StorageSync(node_files, plan.directory, warn)
    storage_sync.start()
    if saved is None:
        store = RunStore.create(plan.directory, manifest, storage_sync.dropped)
        copy_earlier(plan, data)
    else:
        store = RunStore(plan.directory, storage_sync.dropped)
        if records is None or records.lines != store.files.lines():
            records = read_run_records(plan.directory)
        store.recall(records.trials, records.recorded)
        prepare_journal(plan, records, manifest, warn)
        store.write_manifest(manifest)
    copy_space(plan.searched, store.directory, len(manifest["sessions"]))
    session = start_session(
        plan, data, store, manifest, node_files, storage_sync, warn, measurement, records
    )
    storage_sync.opened()
    if reason := why_unsigned():
        warn(
            f"note: the run can't be signed as yours ({reason}); to go on with it, --resume needs "
            "every file, place and server of its options again, or set XDG_DATA_HOME to a folder "
            "of yours."
        )
    return session
