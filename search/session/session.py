"""Composes a session of a search from its plan: study, finalists, budget, stores and limits."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from common.durations import seconds_of
from datasets.splits import SearchData
from results.analysis.pareto import parse_objectives
from results.analysis.run_records import RunRecords
from results.analysis.session_times import sum_gpu_time, used_seconds
from results.records import ScreeningRecord
from results.side_store import (
    ENDED_BY_HAND,
    FINALIST_FILES,
    SCREENING_FILES,
    SideStore,
    SteeringRecord,
)
from results.store import RunStore
from search.config.options import SearchOptions
from search.early_stopping.decision import Rules, make_rules
from search.hardware.allocation import Resources
from search.hardware.calibration import Measurement
from search.hardware.training_speed import TrainingSpeed
from search.monitoring.limits import Limits, make_limits
from search.monitoring.machine_meter import MachineMeter
from search.planning.cost_estimate import learn_from_run, training_speed
from search.planning.plan import Plan, make_proposer
from search.planning.same_space import lies_inside
from search.planning.screening import ScreeningPlan
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.watchdog import Watchdog
from search.samplers.gain_watch import GainWatch
from search.session import session_log
from search.session.backup import StorageSync
from search.session.manifest import read_screening
from search.session.range_watch import RangeWatch
from search.session.steering.steered_session import make_steering
from search.study.budget import Budget, GpuMeter, countdown
from search.study.finalists import Finalists
from search.study.optuna_journal import journal_seal, open_journal
from search.study.prior_trials import PriorTrial, read_prior_trials
from search.study.proposer import Proposer
from search.study.screening import Screening
from search.study.steering.steered_study import SteeredStudy
from search.study.steering.steering import Steering
from search.study.supervisor import Supervisor
from trainables.config import TrialConfig


def make_budget(
    options: SearchOptions, resources: Resources, used_s: float, meter: GpuMeter
) -> Budget:
    """Returns the budget in the options, of which earlier sessions used `used_s` seconds. `meter`
    measures the time for which GPUs are held.
    """
    time_s = seconds_of(options.time_budget)
    return Budget(
        time_s=time_s,
        time_left=countdown(time_s, used_s),
        gpu_s=options.gpu_hours * 3600 if options.gpu_hours else None,
        meter=meter,
        workers=resources.at_once,
    )


def make_gain_watch(options: SearchOptions, resources: Resources, since: int = 0) -> GainWatch:
    """Returns what watches the gain of another hour of a GPU, or of a core where trials train on
    cores. `since` is the number of the first trial of the present space.
    """
    devices, unit = resources.gpus, "GPU-hour"
    if not devices:
        devices, unit = resources.threads, "core-hour"
    several = len(parse_objectives(options.objectives)) > 1
    return GainWatch(options.min_gain, devices=devices, unit=unit, since=since, several=several)


def make_meter(
    resources: Resources, sessions: Sequence[Mapping[str, Any]], spent_s: float, store: RunStore
) -> GpuMeter:
    """Returns the meter of GPUs, of which `sessions` held some, and has `store` record it, as also
    without GPUs it tells newer sessions from older ones, and how busy the machine is.

    spent_s: the seconds of all epochs of the run so far.
    """
    meter = GpuMeter(resources.gpus_held, sum_gpu_time(sessions, resources.gpus * spent_s))
    machine = MachineMeter()
    store.measures = lambda: meter.in_session().to_record() | machine.to_record()
    return meter


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """Holds what is open during one session of a search, from a start or a resume to its end."""

    study: SteeredStudy[TrialConfig]
    finalists: Finalists
    screening: Screening[TrialConfig] | None
    supervisor: Supervisor
    store: RunStore
    manifest: dict[str, Any]
    resources: Resources
    node_files: NodeFiles
    storage_sync: StorageSync
    watchdog: Watchdog
    speed: TrainingSpeed
    limits: Limits
    meter: GpuMeter
    time_is_up: Callable[[], bool]
    steering: Steering[TrialConfig]

    def finished(self) -> bool:
        """Returns whether nothing is left to train."""
        return self.supervisor.finished()

    def close(self) -> None:
        """Records the session's end and releases the run.

        Raises `OSError` where the disk is full, but releases the run even then; a session without
        an end counts as one that was killed.
        """
        ending = {"ended": session_log.now(), "finished": self.finished()}
        ending |= {"used_s": self.store.session_s()} | self.meter.in_session().to_record()
        left = self.study.trials - len(self.study.records)
        by_hand = ENDED_BY_HAND if self.study.stops.search_ended else ""
        if why := by_hand or self.study.gains.why_enough(left):
            ending["ended_by"] = why
        self.manifest["sessions"][-1] |= ending
        with ExitStack() as stack:
            stack.callback(self.store.close)
            stack.callback(self.finalists.store.close)
            self.manifest["journal"] = journal_seal(self.store.directory)
            self.store.write_manifest(self.manifest)


def start_session(
    plan: Plan,
    data: SearchData,
    store: RunStore,
    manifest: dict[str, Any],
    node_files: NodeFiles,
    storage_sync: StorageSync,
    warn: Callable[[str], object],
    measurement: Measurement | None,
    records: RunRecords | None,
) -> Session:
    """Opens the study and its finalists, divides the budget between them, and returns the session.
    `warn` is called with a note on each range that only a trial meets, `measurement` holds the
    baseline's speed, if it was measured, and `records` are those of a run that goes on.
    """
    used_s = used_seconds(manifest["sessions"])
    proposer = make_proposer(plan, manifest["precision"], RangeWatch(store, manifest, warn))
    files = (store.directory, storage_sync.dropped, store.stamp, store.files)
    short = SideStore(SCREENING_FILES, *files)

    def left_for_trials() -> float:
        return budget.left_for_trials(finalists)

    screening = _open_screening(manifest, data, proposer, short, left_for_trials)
    steered = records.steering if records else ()
    study = _open_study(plan, data, store, proposer, screening, left_for_trials, steered)
    finalists = Finalists(
        study=study,
        store=SideStore(FINALIST_FILES, *files),
        count=plan.options.finalists,
        repeats=plan.options.repeats,
        seed=plan.options.seed,
        time_left=lambda: budget.left(),
    )
    meter = make_meter(plan.resources, manifest["sessions"], finalists.spent_s(), store)
    budget = make_budget(plan.options, plan.resources, used_s, meter)
    speed = training_speed(plan, len(data.train), measurement)
    learn_from_run(speed, plan, records)
    return Session(
        study=study,
        finalists=finalists,
        screening=screening,
        supervisor=Supervisor(study, finalists, screening),
        store=store,
        manifest=manifest,
        resources=plan.resources,
        node_files=node_files,
        storage_sync=storage_sync,
        watchdog=Watchdog(seconds_of(plan.options.stall_timeout) or 0.0, speed),
        speed=speed,
        limits=make_limits(plan, used_s, speed, read_screening(manifest), len(data.val)),
        meter=meter,
        time_is_up=budget.time_is_up,
        steering=make_steering(plan, study, budget, store, manifest, used_s),
    )


def _open_screening(
    manifest: Mapping[str, Any],
    data: SearchData,
    proposer: Proposer,
    store: SideStore[ScreeningRecord],
    time_left: Callable[[], float],
) -> Screening[TrialConfig] | None:
    """Returns the screening that the run's manifest plans, or `None` where it plans none."""
    plan = read_screening(manifest)
    if not isinstance(plan, ScreeningPlan):
        return None
    return Screening(
        count=plan.count,
        images=plan.images,
        proposer=proposer,
        shorten=plan.shorten,
        store=store,
        num_classes=len(data.images.class_ids),
        val_images=len(data.val),
        time_left=time_left,
    )


def _open_study(
    plan: Plan,
    data: SearchData,
    store: RunStore,
    proposer: Proposer,
    screening: Screening[TrialConfig] | None,
    time_left: Callable[[], float],
    steered: Sequence[SteeringRecord],
) -> SteeredStudy[TrialConfig]:
    return SteeredStudy(
        proposer=proposer,
        rules=_rules(plan, len(data.images.class_ids)),
        trials=plan.options.trials,
        store=store,
        storage=open_journal(store.directory),
        horizons=plan.horizons,
        earlier=_read_earlier(plan, store),
        outside=plan.searched.outside,
        gains=make_gain_watch(plan.options, plan.resources, plan.searched.since),
        screening=screening,
        steered=steered,
        time_left=time_left,
    )


def _rules(plan: Plan, num_classes: int) -> Rules:
    return make_rules(
        plan.options,
        epochs=plan.epochs,
        grace=plan.grace,
        num_classes=num_classes,
        objectives=plan.objectives,
    )


def _read_earlier(plan: Plan, store: RunStore) -> list[PriorTrial]:
    """Returns those trials of earlier runs that the sampler learns from. Where the space has
    changed since they were copied, these are only the ones that lie inside of it.
    """
    if not plan.options.warm_start:
        return []
    found, proposer = read_prior_trials(store.directory), make_proposer(plan)
    changed = plan.searched.since > 0
    return [each for each in found if not changed or lies_inside(each.params, proposer)]
