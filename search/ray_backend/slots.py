"""A cluster's nodes, and which trials run on which of them. Knows no Ray.

Nodes may differ, and come and go while a search runs: seats are counted on those that are there.
Trials take GPUs where nodes have some; nodes without one train beside them, on their cores.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.config.options import Options
from search.hardware.allocation import Machine, Resources, share, trials_by_gpu


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One machine of a cluster; `id` is Ray's, in hex, and `address` an IP."""

    id: str
    address: str
    machine: Machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """A cluster that was joined: its nodes then, the one that this process is on, and where its
    dashboard listens (empty where it has none).
    """

    nodes: tuple[Node, ...]
    home: str
    dashboard: str


def pooled(nodes: Sequence[Node]) -> Machine:
    """All of them as one, to tell what there is."""
    machines = [node.machine for node in nodes]
    return Machine(
        cpus=sum(machine.cpus for machine in machines),
        memory_bytes=sum(machine.memory_bytes for machine in machines),
        gpus=tuple(gpu for machine in machines for gpu in machine.gpus),
    )


def resources_of(
    options: Options, here: Machine, cluster: Cluster | None, needed: int, gpus_per_trial: str
) -> Resources:
    """How many trials run at once, of `needed` bytes each at the most."""
    if cluster is None:
        return share(
            here,
            concurrency=options.concurrency,
            gpus_per_trial=gpus_per_trial,
            trials=options.trials,
            worker_bytes=needed,
        )
    return share_nodes(
        cluster.nodes,
        concurrency=options.concurrency,
        gpus_per_trial=gpus_per_trial,
        trials=options.trials,
        worker_bytes=needed,
        gpus_only=options.gpu_hours > 0,
    )


def share_nodes(
    nodes: Sequence[Node],
    *,
    concurrency: str,
    gpus_per_trial: str,
    trials: int,
    worker_bytes: int,
    gpus_only: bool = False,
) -> Resources:
    """How many trials run at once on all nodes; the options are those of `resources.share`.

    All trials on GPUs have the same share of one and as many threads, and so have all on cores:
    then a worker serves one trial after another. gpus_only: nodes without a GPU stay idle, since
    GPU-hours are counted. More than fit are accepted as asked: an autoscaler adds nodes for them.
    """
    wanted = trials if concurrency == "auto" else min(trials, int(concurrency))
    machines = [node.machine for node in nodes]
    each = 1.0 if gpus_per_trial == "auto" else float(gpus_per_trial)
    with_gpu = [machine for machine in machines if machine.gpus and each]
    bare = [machine for machine in machines if machine not in with_gpu]
    kinds = [_on_gpus(with_gpu, each, wanted)] if with_gpu else []
    left = wanted - sum(kind.concurrent for kind in kinds)
    if bare and left and not (kinds and gpus_only):
        kinds.append(_on_cores(bare, worker_bytes, left, asked=concurrency != "auto"))
        left -= kinds[-1].concurrent
    if concurrency != "auto" and left > 0:
        kinds[-1] = replace(kinds[-1], concurrent=kinds[-1].concurrent + left, why="as asked")
    return replace(kinds[0], beside=kinds[1]) if len(kinds) > 1 else kinds[0]


def _on_gpus(machines: Sequence[Machine], each: float, wanted: int) -> Resources:
    threads = min(max(1, m.cpus // max(1, trials_by_gpu(m, each))) for m in machines)
    kind = Resources(concurrent=0, threads=threads, gpus=each, why="")
    total = sum(len(machine.gpus) for machine in machines)
    why = f"{each:g} GPU a trial on {total} in {_count(machines)}"
    return replace(kind, concurrent=max(1, min(wanted, _seats(machines, kind))), why=why)


def _on_cores(
    machines: Sequence[Machine], worker_bytes: int, wanted: int, *, asked: bool
) -> Resources:
    """A thread a trial, and more where memory or the number of trials leave cores idle.

    Never more than the smallest node has, so that each node is used. Ray is asked for the memory
    too, at most what that node has: an estimate must not keep every trial waiting.
    """
    memory = 0 if asked else min(worker_bytes, *(machine.memory_bytes for machine in machines))
    kind = Resources(concurrent=0, threads=1, gpus=0.0, why="", memory_bytes=memory)
    goal = min(wanted, _seats(machines, kind))
    most = min(machine.cpus for machine in machines)
    while kind.threads < most:
        more = replace(kind, threads=kind.threads + 1)
        if _seats(machines, more) < goal:
            break
        kind = more
    why = f"{'as asked' if asked else 'as many as cores and memory allow'} in {_count(machines)}"
    return replace(kind, concurrent=max(1, min(wanted, _seats(machines, kind))), why=why)


def _count(machines: Sequence[Machine]) -> str:
    return "1 node" if len(machines) == 1 else f"{len(machines)} nodes"


def _seats(machines: Iterable[Machine], kind: Resources) -> int:
    """How many trials of a kind fit on these machines."""
    return sum(_seats_on(machine, kind) for machine in machines)


def _seats_on(machine: Machine, kind: Resources) -> int:
    by_cores = machine.cpus // kind.threads
    if kind.gpus:
        return min(by_cores, trials_by_gpu(machine, kind.gpus))
    by_memory = machine.memory_bytes // kind.memory_bytes if kind.memory_bytes else by_cores
    return min(by_cores, by_memory)


class Seats:
    """Which kind of resources each running trial has, by its key; Ray then finds the node.

    `nodes` gives those that are there now; `None` is a machine that stays as it is. Of an
    `asked` number of trials those beyond the seats wait for nodes to come.
    """

    def __init__(
        self,
        resources: Resources,
        nodes: Callable[[], Sequence[Node]] | None = None,
        *,
        asked: bool = False,
    ) -> None:
        self._kinds, self._nodes, self._asked = resources.kinds, nodes, asked
        self._taken: dict[str, int] = {}

    @property
    def on_cluster(self) -> bool:
        """Whether there are nodes, of which Ray chooses one for each trial."""
        return self._nodes is not None

    def take(self, key: str) -> Resources | None:
        """A free seat for a trial that begins, on a GPU first; `None` where all are taken."""
        free = self._free()
        if free is None:
            return None
        self._taken[key] = free
        return self._kinds[free]

    def again(self, key: str) -> Resources:
        """The seat of a trial whose node was lost: of another kind where its own is gone."""
        held = self._taken.pop(key)
        if self._room()[held] > 0:
            free: int | None = held
        else:
            free = self._free()
        self._taken[key] = held if free is None else free
        return self._kinds[self._taken[key]]

    def release(self, key: str) -> None:
        """Gives the seat of a trial that has ended free."""
        self._taken.pop(key, None)

    def place(self, seat: Resources) -> dict[str, Any]:
        """What a training's task says of its seat.

        `apart_from` are ids of the nodes whose cores it leaves to trials on their GPUs.
        """
        apart: list[str] = []
        if self._nodes is not None and self._kinds[0].gpus and not seat.gpus:
            apart = sorted(node.id for node in self._nodes() if node.machine.gpus)
        return {
            "threads": seat.threads,
            "gpus": seat.gpus,
            "memory": seat.memory_bytes,
            "apart_from": apart,
        }

    def _free(self) -> int | None:
        room = self._room()
        taken = list(self._taken.values())
        free = [n for n, seats in enumerate(room) if taken.count(n) < seats]
        return free[0] if free else None

    def _room(self) -> list[int]:
        """Seats of each kind, taken ones included."""
        if self._nodes is None:
            return [kind.concurrent for kind in self._kinds]
        machines = [node.machine for node in self._nodes()]
        on_gpus = self._kinds[0].gpus > 0
        room = [
            _seats([m for m in machines if not on_gpus or bool(m.gpus) == bool(kind.gpus)], kind)
            for kind in self._kinds
        ]
        if self._asked:
            total = sum(kind.concurrent for kind in self._kinds)
            room[-1] += max(0, total - sum(room))
            for number, seats in enumerate(room):
                room[number] = min(seats, total - sum(room[:number]))
        return room
