"""A search on Ray whose trials break off in several ways, in a process of its own.

python -m tests.search.search_with_failures RUN_DIRECTORY
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from results.records import EpochMetrics
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunStore
from search.early_stopping.decision import Rules
from search.hardware.allocation import Resources
from search.monitoring.monitor import Monitor
from search.monitoring.summary import explain_early_end
from search.ray_backend.heartbeat import Heartbeat, kill_ray
from search.ray_backend.local_ray import Dashboard, reserve_port, start_ray
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.slots import Slots
from search.ray_backend.task import RunFiles, Task
from search.ray_backend.tuner import run_trials
from search.ray_backend.watchdog import Watchdog
from search.ray_backend.worker import TrialWorker
from search.space import Space
from search.study.finalists import Finalists
from search.study.optuna_journal import journal_storage
from search.study.proposer import Proposer
from search.study.study import Study
from search.study.supervisor import Supervisor
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig

ROOT = Path(__file__).parents[2]
KINDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
FINE, FITS_IN_PIECES, NEVER_FITS, BREAKS_ONCE, DIES_ONCE, HANGS_ONCE, HANGS = KINDS
"""What becomes of a trial, by its dropout."""

STALL_S = 20.0
"""What a worker may take to start on a busy machine, and more."""


class BreakingWorker(TrialWorker):
    """A `TrialWorker` that makes its epochs up, and breaks off after the first one."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self._task = Task.from_ray(new_config)
        self._epochs = broken(self._task.config, self._task.data)
        return True


def broken(config: TrialConfig, scratch: Path) -> Iterator[EpochMetrics]:
    yield metrics(1, 0.5)
    if config.dropout == NEVER_FITS:
        raise MemoryError("2 GiB")
    if config.dropout == FITS_IN_PIECES and config.micro_batch_size is None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: 2 GiB")
    before = scratch / f"broke-{config.dropout}"
    if config.dropout == HANGS:
        time.sleep(3600)
    if config.dropout in (BREAKS_ONCE, DIES_ONCE, HANGS_ONCE) and not before.exists():
        before.touch()
        if config.dropout == HANGS_ONCE:
            time.sleep(3600)
        if config.dropout == DIES_ONCE:
            os._exit(9)
        raise OSError("no disk")
    yield metrics(2, 0.6)


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {"dropout": trial.suggest_float("dropout", FINE, HANGS, step=0.1)}


def main(directory: Path) -> None:
    baseline = TrialConfig(network="resnet18", dropout=FINE, epochs=2, precision="float32")
    space = Space(summary="made up", dataset="demo", baseline=baseline, suggest=suggest)
    store = RunStore.create(directory, {"sessions": []})
    rules = Rules(
        epochs=2, grace=2, factor=3, max_gap=0.0, gap_patience=3, plateau_patience=0, num_classes=20
    )
    study = Study(
        proposer=Proposer(space, {}, 0), rules=rules, trials=len(KINDS), store=store,
        storage=journal_storage(directory),
    )  # fmt: skip
    resources = Resources(concurrent=1, threads=1, why="")
    with reserve_port(Dashboard(host="127.0.0.1", port="auto")) as port:
        start_ray(resources, port, ROOT)
    monitor = Monitor(Console(width=200), len(KINDS), verbose=False)
    finalists = Finalists(
        study=study, store=SideStore(FINALIST_FILES, directory), count=0, repeats=2, seed=0
    )
    files = RunFiles(directory=directory, data=directory, node_files=NodeFiles())
    run_trials(
        Supervisor(study, finalists), monitor, Slots(resources), files, Watchdog(STALL_S),
        Heartbeat(kill_ray, print), worker=BreakingWorker,
    )  # fmt: skip
    store.close()
    print(explain_early_end(study))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
