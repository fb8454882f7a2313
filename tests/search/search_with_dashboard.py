"""A search on Ray that can be looked at while it runs, its epochs made up.

python -m tests.search.search_with_dashboard RUN_DIRECTORY

Writes `open.json` (dashboard, session folder of Ray) there when it begins; ends when `enough` is
there.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from results.records import EpochMetrics
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunStore
from search.hardware.allocation import Resources
from search.monitoring.limits import Limits
from search.monitoring.monitor import Monitor
from search.monitoring.prometheus import PrometheusExporter
from search.ray_backend.callbacks import make_gauge
from search.ray_backend.heartbeat import Heartbeat, kill_ray
from search.ray_backend.local_ray import Dashboard, reserve_port, start_ray, stop_ray
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.slots import Slots
from search.ray_backend.task import RunFiles, Task
from search.ray_backend.tuner import run_trials
from search.ray_backend.watchdog import Watchdog
from search.ray_backend.worker import TrialWorker
from search.study.finalists import Finalists
from search.study.observer import Observers
from search.study.optuna_journal import journal_storage
from search.study.supervisor import Supervisor
from tests.search.made_up_study import made_up_study
from tests.search.study_on_curves import metrics

ROOT = Path(__file__).parents[2]
TRIALS, EPOCHS, GRACE = 4, 3, 2
LONGEST_S = 400.0


class MadeUpWorker(TrialWorker):
    """A `TrialWorker` whose trials get better by 0.1 an epoch.

    The first and the last one go on to the last epoch, and the last one waits there to be seen.
    """

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self._task = Task.from_ray(new_config)
        self._epochs = made_up(self._task.data)
        return True


def made_up(directory: Path) -> Iterator[EpochMetrics]:
    begun = directory / "begun"  # not by its number: one that is proposed again is left out
    index = begun.read_text(encoding="utf-8").count("\n") if begun.exists() else 0
    with begun.open("a", encoding="utf-8") as file:
        file.write("\n")
    better = index if index in (0, TRIALS - 1) else -index
    for epoch in range(1, EPOCHS + 1):
        if index == TRIALS - 1 and epoch == EPOCHS:
            until = time.monotonic() + LONGEST_S
            while not (directory / "enough").exists() and time.monotonic() < until:
                time.sleep(0.2)
        yield metrics(epoch, 0.3 + 0.1 * epoch + 0.01 * better, gap=0.05)


def main(directory: Path) -> None:
    store = RunStore.create(directory, {"sessions": []})
    study = made_up_study(
        store, journal_storage(directory), trials=TRIALS, epochs=EPOCHS, grace=GRACE
    )
    resources = Resources(concurrent=1, threads=1, why="")
    with reserve_port(Dashboard(host="127.0.0.1", port="auto")) as port:
        address = start_ray(resources, port, ROOT)
    import ray

    session = ray._private.worker._global_node.get_session_dir_path()
    (directory / "open.json").write_text(
        json.dumps({"dashboard": address, "session": session}), encoding="utf-8"
    )
    monitor = Monitor(Console(width=200), TRIALS)
    limits = Limits(trials=TRIALS, title="watched", space="made up", full_epochs=EPOCHS, gpus=0.5)
    monitor.opened(limits)
    finalists = Finalists(
        study=study, store=SideStore(FINALIST_FILES, directory), count=0, repeats=2, seed=0
    )
    files = RunFiles(directory=directory, data=directory, node_files=NodeFiles())
    exporter = PrometheusExporter(monitor.progress, make_gauge)
    with Observers((monitor,), (exporter,), monitor.warn) as observers, monitor.watching():
        run_trials(
            Supervisor(study, finalists), observers, Slots(resources), files, Watchdog(0.0),
            Heartbeat(kill_ray, print), worker=MadeUpWorker,
        )  # fmt: skip
    store.close()
    stop_ray()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
