"""Carries a plan out: data, weights, precision, Ray, the study, and what is told at the end."""

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from datasets.access import open_search_data
from datasets.prepare import prepare
from datasets.spec import DatasetError
from datasets.splits import SearchData
from results.finalists import FinalistStore
from results.records import RecordError
from results.store import RunError, RunStore, read_manifest
from search import probe, sessions
from search.budget import budget_of
from search.cluster import ClusterError, LivingNodes
from search.earlier import read_earlier_trials, write_earlier_trials
from search.extending import begins_alike
from search.finalists import Finalists
from search.measuring import Measuring, SearchError, awaited, share_gpus
from search.monitor import Monitor
from search.nodes import Seats
from search.plan import Plan, size_to_store
from search.printing import last_lines
from search.provenance import command_line, provenance
from search.resources import Resources
from search.show import tell_start
from search.storage import journal_storage
from search.storing import Storing, supply_of
from search.study import Study
from search.summary import early_end, summarise
from search.supply import Supply
from search.trials import Rules
from search.tuner import Dashboard, reserve_port, run_trials, start_ray, stop_ray
from search.warm_start import noted, useful_trials
from trainables.catalog import takes_a_package
from trainables.config import TrialConfig

ROOT = Path(__file__).resolve().parent.parent


def execute(plan: Plan, *, resuming: bool, verbose: bool = False) -> int:
    """Runs the search to its end or to Ctrl-C; returns the exit code.

    Raises `SearchError` for whatever stops it before the first trial.
    """
    console = Console(highlight=False)
    monitor = Monitor(console, plan.options.trials, verbose=verbose)
    monitor.stage("imports and plan")
    interrupted = False
    try:
        try:
            session = _open(plan, monitor, resuming)
        except (DatasetError, RunError, RecordError, ClusterError, OSError) as error:
            raise SearchError([str(error)]) from error
        try:
            if not session.finished():
                run_trials(
                    session.study,
                    session.finalists,
                    session.store,
                    monitor,
                    _seats(plan, session.resources),
                    plan.data,
                    session.supply,
                    on_epoch=session.storing.tick,
                )
        except KeyboardInterrupt:
            interrupted = True
        except Exception as error:  # Ray wraps whatever goes wrong in its loop, a full disk too
            interrupted = True
            monitor.say(f"error: the search stopped: {last_lines(str(error))}")
        finally:
            session.close()
    finally:
        if plan.cluster is None:
            stop_ray()
    if note := early_end(session.study):
        monitor.say(note)
    code = summarise(plan, console, interrupted or not session.finished())
    session.storing.close()
    return code


def _seats(plan: Plan, resources: Resources) -> Seats:
    """On a cluster those of the nodes that are there while the search runs."""
    if plan.cluster is None:
        return Seats(resources)
    asked = plan.options.concurrency != "auto"
    return Seats(resources, LivingNodes(plan.cluster.nodes), asked=asked)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Session:
    """What is open while trials run."""

    study: Study[TrialConfig]
    finalists: Finalists
    store: RunStore
    manifest: dict[str, Any]
    resources: Resources
    supply: Supply
    storing: Storing

    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.study.finished() and self.finalists.finished()

    def close(self) -> None:
        """Notes the session's end and gives the run free."""
        self.manifest["sessions"][-1]["ended"] = sessions.now()
        self.store.write_manifest(self.manifest)
        self.finalists.store.close()
        self.store.close()


def _open(plan: Plan, monitor: Monitor, resuming: bool) -> _Session:
    """Everything before the first trial, the cheap refusals first."""
    dashboard = Dashboard(host=plan.options.dashboard_host, port=plan.options.dashboard_port)
    saved = read_manifest(plan.directory) if resuming else None
    reserved: AbstractContextManager[socket.socket | None] = (
        nullcontext() if plan.cluster else reserve_port(dashboard)
    )
    with reserved as port, probe.TorchProcess() as torch:
        if plan.baseline.weights != "none" or takes_a_package(plan.baseline.network):
            for config in plan.extremes.starting:
                awaited(torch.submit(probe.check_start, config))
            monitor.stage("network and weights")
        data = _data(plan, saved)
        monitor.stage("dataset")
        tell_start(plan, data, monitor.say)
        if plan.machine.gpus and plan.options.gpus_per_trial == "auto":
            plan = share_gpus(plan, monitor, torch)
        if saved is not None:
            session = _study(plan, data, str(saved["precision"]), saved, monitor.say)
            if not session.finished():
                _start(plan, monitor, port)
            return session
        measuring = Measuring(plan, torch)
        _start(plan, monitor, port)
        precision, why = measuring.outcome()
        monitor.stage("precision")
        monitor.say(f"precision  {precision} ({why})")
        return _study(plan, data, precision, None, monitor.say)


def _start(plan: Plan, monitor: Monitor, port: socket.socket | None) -> None:
    if port is None:
        assert plan.cluster is not None
        address = f"http://{plan.cluster.dashboard}" if plan.cluster.dashboard else "none"
    else:
        address = start_ray(plan.resources, port, ROOT)
    monitor.stage("Ray")
    monitor.say(f"dashboard  {address}  (it asks for a token: type `ray get-auth-token`)")


def _data(plan: Plan, saved: dict[str, Any] | None) -> SearchData:
    """The prepared dataset. Raises `DatasetError` and `SearchError`."""
    known = saved is not None and (plan.data / "manifest.json").exists()
    source = Path(plan.options.source) if plan.options.source and not known else None
    prepare(plan.dataset, source=source, data=Path(plan.options.data), size=size_to_store(plan))
    data = open_search_data(plan.data)
    if saved is not None and saved["dataset"]["fingerprint"] != data.images.fingerprint:
        raise SearchError(
            [
                f"A run must go on with the dataset it began with, but {plan.data} holds other "
                f"images than {plan.name} was started on; name the right folder with --data."
            ]
        )
    largest_batch = plan.extremes.largest.batch_size
    if largest_batch > len(data.train):
        raise SearchError(
            [
                f"batch_size must be ≤ the {len(data.train)} training images, but got "
                f"{largest_batch}; lower it with --set batch_size=N."
            ]
        )
    return data


def _study(
    plan: Plan,
    data: SearchData,
    precision: str,
    saved: dict[str, Any] | None,
    say: Callable[[str], object] = print,
) -> _Session:
    nodes = plan.cluster.nodes if plan.cluster else ()
    circumstances = provenance(plan.machine, command_line(), nodes)
    manifest = saved or {
        "name": plan.name,
        "space": plan.options.space,
        "precision": precision,
        "published": asdict(plan.space.published) if plan.space.published else None,
        "preview": [config.to_dict() for config in plan.preview],
        "provenance": circumstances,
        "warm_start": [noted(run) for run in plan.earlier],
        "sessions": [],
    }
    if not begins_alike(manifest["preview"], plan.preview):
        raise SearchError(
            [
                f"A run must go on with the space it began with, but {plan.options.space} has "
                "changed since; restore it, or begin a new run."
            ]
        )
    manifest = manifest | {
        "options": asdict(plan.options),
        "horizons": [asdict(each) for each in plan.horizons],
        "dataset": {
            "name": plan.dataset,
            "fingerprint": data.images.fingerprint,
            "image_size": data.images.size,
        },
        "sessions": sessions.begin(manifest["sessions"], plan.directory, circumstances),
    }
    supply = supply_of(plan, data.images.fingerprint)
    storing = Storing(supply, plan.directory, say)
    if saved is None:
        store = RunStore.create(plan.directory, manifest, storing.dropped)
        _copy_earlier(plan, data)
    else:
        store = RunStore(plan.directory, storing.dropped)
        store.write_manifest(manifest)
    plan.proposer.fixed["precision"] = precision
    session = _session(plan, len(data.images.class_ids), store, manifest, supply, storing)
    storing.opened()
    return session


def _session(
    plan: Plan,
    num_classes: int,
    store: RunStore,
    manifest: dict[str, Any],
    supply: Supply,
    storing: Storing,
) -> _Session:
    """The study and its finalists, between whom the budget is divided."""
    used_s = sessions.used_seconds(manifest["sessions"])
    budget = budget_of(plan.options, plan.resources, used_s)
    study = Study(
        proposer=plan.proposer,
        rules=Rules(
            epochs=plan.epochs,
            grace=plan.grace,
            factor=plan.options.reduction_factor,
            max_gap=plan.options.max_gap,
            gap_patience=plan.options.gap_patience,
            plateau_patience=plan.options.plateau_patience,
            num_classes=num_classes,
            objectives=plan.objectives,
        ),
        trials=plan.options.trials,
        store=store,
        storage=journal_storage(store.directory),
        horizons=plan.horizons,
        earlier=read_earlier_trials(store.directory) if plan.options.warm_start else (),
        time_left=lambda: budget.left_for_trials(finalists),
    )
    finalists = Finalists(
        study=study,
        store=FinalistStore(store.directory, storing.dropped),
        count=plan.options.finalists,
        repeats=plan.options.repeats,
        seed=plan.options.seed,
        time_left=lambda: budget.left(finalists),
    )
    return _Session(
        study=study,
        finalists=finalists,
        store=store,
        manifest=manifest,
        resources=plan.resources,
        supply=supply,
        storing=storing,
    )


def _copy_earlier(plan: Plan, data: SearchData) -> None:
    ours = (plan.proposer, data.images.fingerprint, plan.epochs)
    found = [trial for run in plan.earlier for trial in useful_trials(run, *ours)]
    if plan.earlier:
        write_earlier_trials(plan.directory, found)
