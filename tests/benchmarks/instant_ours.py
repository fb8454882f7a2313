"""Instant trials through our tuner, in a process of its own; prints one JSON line."""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
from rich.console import Console

from results.records import TrainingRecord
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunStore
from search.early_stopping.decision import Rules
from search.hardware.allocation import Resources
from search.monitoring.monitor import Monitor
from search.ray_backend.heartbeat import Heartbeat, kill_ray
from search.ray_backend.local_ray import Dashboard, reserve_port, start_ray
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.slots import Slots
from search.ray_backend.task import RunFiles
from search.ray_backend.tuner import run_trials
from search.ray_backend.watchdog import Watchdog
from search.space import Space
from search.study.finalists import Finalists
from search.study.optuna_journal import journal_storage
from search.study.proposer import Proposer
from search.study.study import Study
from search.study.supervisor import Supervisor
from tests.benchmarks.instant import EPOCHS, InstantWorker
from tests.benchmarks.measure import ROOT
from trainables.config import TrialConfig

CONCURRENT = 2
WARM = 0.1
"""Share of the trials after which memory is looked at first: workers and imports are there."""


class MeasuredMonitor(Monitor):
    """Also notes this process's memory after each trial, in bytes."""

    def __init__(self, console: Console, trials: int) -> None:
        super().__init__(console, trials, verbose=False)
        self.memory: list[int] = []

    def ended(self, record: TrainingRecord) -> None:
        super().ended(record)
        self.memory.append(psutil.Process().memory_info().rss)


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
    }


def make_study(store: RunStore, trials: int) -> Study[TrialConfig]:
    baseline = TrialConfig(network="resnet18", lr=1e-3, epochs=EPOCHS, precision="float32")
    space = Space(summary="made up", dataset="demo", baseline=baseline, suggest=suggest)
    rules = Rules(
        epochs=EPOCHS, grace=1, factor=3, max_gap=0.2, gap_patience=3, plateau_patience=0,
        num_classes=20,
    )  # fmt: skip
    return Study(
        proposer=Proposer(space, {}, 0),
        rules=rules,
        trials=trials,
        store=store,
        storage=journal_storage(store.directory),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.instant_ours", description=__doc__
    )
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    options = parser.parse_args()
    store = RunStore.create(options.out, {"sessions": []})
    study = make_study(store, options.trials)
    finalists = Finalists(
        study=study, store=SideStore(FINALIST_FILES, options.out), count=0, repeats=2, seed=0
    )
    resources = Resources(concurrent=CONCURRENT, threads=1, why="")
    dashboard = Dashboard(host="127.0.0.1", port="auto")
    with reserve_port(dashboard) as port:
        start_ray(resources, port, ROOT)
    with (options.out / "said.txt").open("w", encoding="utf-8") as file:
        monitor = MeasuredMonitor(Console(file=file, width=100), options.trials)
        started, driver_started = time.perf_counter(), time.process_time()
        files = RunFiles(directory=options.out, data=options.out, node_files=NodeFiles())
        run_trials(
            Supervisor(study, finalists), monitor, Slots(resources), files, Watchdog(600.0),
            Heartbeat(kill_ray, print), worker=InstantWorker,
        )  # fmt: skip
        fit_s = time.perf_counter() - started
        driver_s = time.process_time() - driver_started
    store.close()
    told = {
        "fit_s": fit_s,
        "driver_s": driver_s,
        "trials": sum(record.epochs > 0 for record in study.records.values()),
        "epochs": sum(record.epochs for record in study.records.values()),
        "memory_warm_bytes": monitor.memory[int(WARM * options.trials)],
        "memory_end_bytes": monitor.memory[-1],
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
