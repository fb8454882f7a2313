"""A search on a cluster of several nodes on one machine, in one process.

python -m tests.search.search_on_nodes SCRATCH_DIRECTORY FINGERPRINT lost|drained|mixed|unlike

Of two nodes one is lost, at once or some time after Ray was told so, as of a spot instance; or
three differ in what they pretend to have; or the search is refused, since the second has other
packages. The directory holds prepared data of that fingerprint in
`tiny`. Trials make their epochs up, but keep their checkpoints as real ones do. Each epoch that is
trained leaves a line «NODE TRIAL EPOCH PROCESS GPUS» in SCRATCH_DIRECTORY/trained.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster
from rich.console import Console

from results.records import EpochMetrics
from results.side_store import FINALIST_FILES, SideStore
from results.store import RunStore
from search import run
from search.hardware import allocation
from search.monitoring.monitor import Monitor
from search.ray_backend import ray_cluster
from search.ray_backend.heartbeat import Heartbeat, kill_ray
from search.ray_backend.local_ray import Dashboard, reserve_port
from search.ray_backend.node_files import NodeFiles
from search.ray_backend.slots import Slots
from search.ray_backend.task import RunFiles, Task
from search.ray_backend.tuner import run_trials
from search.ray_backend.watchdog import Watchdog
from search.ray_backend.worker import TrialWorker, fetch_data
from search.study.finalists import Finalists
from search.study.optuna_journal import open_journal
from search.study.supervisor import Supervisor
from tests.search.made_up_study import made_up_study

ROOT = Path(__file__).parents[2]
TRIALS, EPOCHS = {"lost": 4, "drained": 4, "mixed": 24}, 12
NOTICE_S = 2
"""Between the notice that a node will be taken away, and that; AWS gives two minutes."""

MIXED: list[dict[str, int]] = [{"num_cpus": 2}, {"num_cpus": 2, "num_gpus": 1},
                               {"num_cpus": 8, "num_gpus": 8}]  # fmt: skip
"""No GPU is there: Ray counts what it is told, and these trials don't use theirs."""


class MadeUpWorker(TrialWorker):
    """A `TrialWorker` of half a second an epoch, whose checkpoint is the last epoch's number."""

    def setup(self, config: dict[str, Any]) -> None:
        """As a real one's, but for torch."""
        from search.preflight import ROOT, foreign_packages  # as they are there

        assert foreign_packages(ROOT) == []
        self._epochs, self._notes = iter(()), iter(())
        self._ended, self._measure = time.perf_counter(), False
        self.reset_config(config)

    def _begin(self) -> None:
        if self._next is not None:
            self.cleanup()
            self._task, self._next = self._next, None
            self._notes = fetch_data(replace(self._task, data=seen(self._task)))
            self._epochs = made_up(self._task)


def seen(task: Task) -> Path:
    """The dataset's folder as this node sees it: the second one doesn't have it."""
    home = ray_cluster.node_id() == task.node_files.driver_node
    return task.data if home else Path("/nowhere")


def made_up(task: Task) -> Iterator[EpochMetrics]:
    task.node_files.data(seen(task))
    with task.node_files.checkpoint(task.checkpoint) as (path, sent):
        done = int(path.read_text(encoding="utf-8")) if path.exists() else 0
        for epoch in range(task.epochs_done + 1, done + 1):
            yield metrics(epoch)
        for epoch in range(done + 1, EPOCHS + 1):
            time.sleep(0.5)
            with (task.data.parent / "trained").open("a", encoding="utf-8") as file:
                gpus = ",".join(map(str, ray.get_gpu_ids())) or "-"
                number = task.training.number
                where = f"{ray_cluster.node_id()} {number} {epoch} {os.getpid()} {gpus}"
                file.write(where + "\n")
            print(where)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(epoch), encoding="utf-8")
            if sent:
                sent(path)
            yield metrics(epoch)


def metrics(epoch: int) -> EpochMetrics:
    """Of one epoch. The tests don't travel, and what is said here does."""
    return EpochMetrics(
        epoch=epoch, train_loss=1.0, train_top1=0.05 * epoch, val_loss=1.0, val_top1=0.05 * epoch,
        val_top5=1.0, gap=0.0, lr=1e-3, images_per_s=100.0, train_s=0.5, wall_s=0.5,
        peak_memory_bytes=1,
    )  # fmt: skip


def lose(nodes: Cluster, other: Any, scratch: Path, notice: bool) -> None:
    """Kills a node's raylet once two epochs of a trial were trained there."""
    trained = scratch / "trained"
    while True:
        time.sleep(0.1)
        lines = trained.read_text(encoding="utf-8").split("\n") if trained.exists() else []
        if sum(line.startswith(other.node_id) for line in lines) >= 2:
            break
    if notice:
        subprocess.run(
            [str(Path(sys.executable).parent / "ray"), "drain-node", "--address", nodes.address,
             "--node-id", other.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION",
             "--reason-message", "a spot instance", "--deadline-remaining-seconds", str(NOTICE_S)],
            check=True,
        )  # fmt: skip
        time.sleep(NOTICE_S)
    nodes.remove_node(other, allow_graceful=False)
    (scratch / "lost").write_text(other.node_id, encoding="utf-8")


def start(scratch: Path, kinds: Sequence[dict[str, int]]) -> tuple[Cluster, list[Any]]:
    """(the cluster, its nodes but the first), each with a cache of its own."""
    with reserve_port(Dashboard(host="127.0.0.1", port="auto")) as free:
        port = free.getsockname()[1]
    small: dict[str, Any] = {"include_dashboard": False, "dashboard_port": port}
    small |= {"no_monitor": True, "include_log_monitor": False}
    caches = [{"XDG_CACHE_HOME": str(scratch / f"cache-{n + 1}")} for n in range(len(kinds))]
    head = small | kinds[0] | {"env_vars": caches[0]}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    packages = {"PYTHONPATH": str(scratch / "packages")}  # empty but for the test that fills it
    others = zip(kinds[1:], caches[1:], strict=True)
    return nodes, [nodes.add_node(**kind, env_vars=cache | packages) for kind, cache in others]


def refused(nodes: Cluster) -> None:
    """The command on nodes that it doesn't take."""
    code = run.main(["--space", "demo", "--address", nodes.address, "--dry-run"])
    nodes.shutdown()
    sys.exit(code)


def main(scratch: Path, fingerprint: str, what: str) -> None:
    nodes, others = start(scratch, MIXED if what == "mixed" else [{"num_cpus": 1}] * 2)
    if what == "unlike":
        refused(nodes)
    trials = TRIALS[what]
    found = ray_cluster.connect(nodes.address, ROOT)
    print("nodes", *(f"{n.id}:{n.machine.cpus}:{len(n.machine.gpus)}" for n in found.nodes))
    store = RunStore.create(scratch / "run", {"sessions": []})
    study = made_up_study(
        store,
        open_journal(scratch / "run"),
        trials=trials,
        epochs=EPOCHS,
        grace=EPOCHS,
        factor=3,
        dropout=0.5,
    )
    allocation.HOST_BYTES = 1 << 28  # all nodes are on this machine
    resources = allocation.allocate_nodes(
        found.nodes, concurrency="auto", per_gpu=1, trials=trials, worker_bytes=1 << 28
    )
    monitor = Monitor(Console(width=200), trials, verbose=False)
    finalists = Finalists(
        study=study, store=SideStore(FINALIST_FILES, scratch / "run"), count=0, repeats=2, seed=0
    )
    node_files = NodeFiles(
        driver_node=found.driver_node, run="run", dataset="tiny", fingerprint=fingerprint
    )
    slots = Slots(resources, ray_cluster.LivingNodes(found.nodes))
    if what != "mixed":
        losing = (nodes, others[0], scratch, what == "drained")
        threading.Thread(target=lose, args=losing, daemon=True).start()
    files = RunFiles(directory=scratch / "run", data=scratch / "tiny", node_files=node_files)
    supervisor = Supervisor(study, finalists)
    heartbeat = Heartbeat(kill_ray, print)
    run_trials(supervisor, monitor, slots, files, Watchdog(0.0), heartbeat, worker=MadeUpWorker)
    store.close()
    print(f"failed in a row: {study._failed_in_a_row}")
    ray_cluster.disconnect()
    nodes.shutdown()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
