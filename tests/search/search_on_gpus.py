"""A search on Ray with two made-up GPUs, whose trainings only take time.

python -m tests.search.search_on_gpus RUN_DIRECTORY

Prints, as JSON, the GPU-time that the meter has measured, and each training's beginning, end and
GPUs by an observer of its own.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from results.records import EpochMetrics, TrainingId, TrainingRecord
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunStore
from search.hardware.allocation import Resources
from search.ray_backend.heartbeat import Heartbeat, kill_ray
from search.ray_backend.local_ray import Dashboard, reserve_port, start_ray, stop_ray
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.slots import Slots
from search.ray_backend.task import RunFiles, Task
from search.ray_backend.tuner import run_trials
from search.ray_backend.watchdog import Watchdog
from search.ray_backend.worker import TrialWorker
from search.session.session import make_meter
from search.study.finalists import Finalists
from search.study.observer import Observer, Observers
from search.study.optuna_journal import journal_storage
from search.study.proposer import Proposal
from search.study.supervisor import Supervisor
from tests.search.hardware.faked_gpus import gpus as faked_gpus
from tests.search.made_up_study import made_up_study
from tests.search.study_on_curves import metrics
from trainables.config import TrialConfig

ROOT = Path(__file__).parents[2]
TRIALS, EPOCHS = 4, 2


class IdleWorker(TrialWorker):
    """A `TrialWorker` that has a GPU by Ray's count, and trains nothing. The first three trainings
    wait for each other, so that each has a worker of its own.
    """

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._task = Task.from_ray(new_config)
        self._epochs = self._wait()
        return True

    def _wait(self) -> Iterator[EpochMetrics]:
        (self._task.data / f"begun-{self._task.training}").touch()
        while len(list(self._task.data.glob("begun-*"))) < 3:
            time.sleep(0.1)
        for epoch in range(1, EPOCHS + 1):
            time.sleep(0.5)
            yield replace(metrics(epoch, 0.3 + 0.1 * epoch), wall_s=0.5, loading_s=0.25)


class Recorder(Observer):
    """Records when trainings begin and end, and their GPUs."""

    def __init__(self) -> None:
        self.seen: dict[int, dict[str, Any]] = {}

    def began(self, proposal: Proposal[TrialConfig], gpus: float) -> None:
        self.seen[proposal.number] = {"began": time.monotonic(), "share": gpus}

    def placed(self, training: TrainingId, gpus: Sequence[str]) -> None:
        self.seen[training.number]["gpus"] = list(gpus)

    def ended(self, record: TrainingRecord) -> None:
        self.seen[record.training.number]["ended"] = time.monotonic()


def main(directory: Path) -> None:
    store = RunStore.create(directory, {"sessions": []})
    study = made_up_study(
        store, journal_storage(directory), trials=TRIALS, epochs=EPOCHS, grace=EPOCHS
    )
    resources = Resources(concurrent=3, threads=1, why="", per_gpu=2)
    with reserve_port(Dashboard(host="127.0.0.1", port="auto")) as port:
        start_ray(resources, port, ROOT, gpus=faked_gpus("L4", "L4"))
    finalists = Finalists(
        study=study, store=SideStore(FINALIST_FILES, directory), count=0, repeats=2, seed=0
    )
    files = RunFiles(directory=directory, data=directory, node_files=NodeFiles())
    meter, recorder = make_meter(resources, [], 0.0, store), Recorder()
    with Observers((meter, recorder), (), print) as observers:
        run_trials(
            Supervisor(study, finalists), observers, Slots(resources), files, Watchdog(0.0),
            Heartbeat(kill_ray, print), worker=IdleWorker,
        )  # fmt: skip
    store.close()
    stop_ray()
    print(json.dumps({"time": asdict(meter.total()), "trainings": list(recorder.seen.values())}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
