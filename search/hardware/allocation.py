"""Decides how many trials run at once, and with which share of the hardware."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from search.hardware.machine import Machine, Node

MARGIN = 1.2
"""A trial is allocated this many times the GPU memory that a few of its steps took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Describes the hardware of `concurrent` trials, each with `threads` CPU threads and a share
    `gpus` of a GPU.

    On a cluster each trial reserves `memory_bytes`, unless that is 0. `beside` describes further
    trials, on nodes without a GPU, where these trials run on GPUs. `why` explains the number of
    trials in words.
    """

    concurrent: int
    threads: int
    gpus: float
    why: str
    memory_bytes: int = 0
    beside: "Resources | None" = None

    @property
    def kinds(self) -> tuple["Resources", ...]:
        """Returns these resources, and those beside them if there are any."""
        return (self, self.beside) if self.beside else (self,)

    @property
    def at_once(self) -> int:
        """Returns how many trials of all kinds run at the same time."""
        return sum(kind.concurrent for kind in self.kinds)


def gpu_share(needed_bytes: int, total_bytes: int) -> float:
    """Returns the share of a GPU for a trial that needs `needed_bytes` of `total_bytes`, with a
    margin of a fifth.

    The share is 1/k where k trials fit on a GPU, rounded down to hundredths so that k of them never
    exceed one.
    """
    trials = max(1, int(total_bytes / (needed_bytes * MARGIN)))
    return math.floor(100 / trials) / 100


def trials_by_gpu(machine: Machine, share: float) -> int:
    """Returns how many trials with this share of a GPU fit on the GPUs of a machine.

    A trial with a share below 1 can't be split over two GPUs, so that each GPU holds whole trials.
    """
    if share <= 1:
        return len(machine.gpus) * int(1 / share)
    return int(len(machine.gpus) / share)


def allocate(
    machine: Machine, *, concurrency: str, gpus_per_trial: str, trials: int, worker_bytes: int
) -> Resources:
    """Returns how many trials run at once on this machine, and with which resources.

    concurrency, gpus_per_trial: `auto` or a number, as in the options.
    trials: the number of trials of the search.
    worker_bytes: the memory that the largest trial needs on CPUs, in bytes.

    By default a GPU runs one trial, which also needs a core. On CPUs each trial has one thread and
    each core one trial, as far as four fifths of the memory suffice: two trials of one thread train
    more images a second than one trial of two (measured with ResNet-18 and ResNet-50 on two cores).
    """
    usual = 1.0 if machine.gpus else 0.0
    gpus = usual if gpus_per_trial == "auto" else float(gpus_per_trial)
    if gpus:
        fitting = max(1, min(trials_by_gpu(machine, gpus), machine.cpus))
        why = f"{gpus:g} GPU a trial on {len(machine.gpus)}"
    else:
        by_memory = max(1, int(machine.memory_bytes * 0.8 / worker_bytes))
        fitting = min(machine.cpus, by_memory)
        memory = f"memory allows at {worker_bytes / (1 << 30):.1f} GiB each"
        limit = "cores allow" if fitting == machine.cpus else memory
        why = f"one thread a trial, as many as {limit}"
    if concurrency != "auto":
        asked = int(concurrency)
        # Trials beyond what the GPUs hold would only wait for each other.
        fitting, why = (min(asked, fitting) if gpus else asked), "as asked"
    concurrent = min(fitting, trials)
    return Resources(
        concurrent=concurrent, threads=max(1, machine.cpus // concurrent), gpus=gpus, why=why
    )


def allocate_nodes(
    nodes: Sequence[Node],
    *,
    concurrency: str,
    gpus_per_trial: str,
    trials: int,
    worker_bytes: int,
    gpus_only: bool = False,
) -> Resources:
    """Returns how many trials run at once on all nodes, and with which resources. The parameters
    are those of `allocate`.

    gpus_only: whether nodes without a GPU stay idle, which is the case where GPU-hours are limited.

    All trials on GPUs have the same share of a GPU and the same number of threads, and so have all
    trials on cores, so that a worker can serve one trial after another. A `concurrency` beyond the
    present nodes is accepted, because an autoscaler can add nodes.
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
    return replace(kind, concurrent=max(1, min(wanted, _count_slots(machines, kind))), why=why)


def _on_cores(
    machines: Sequence[Machine], worker_bytes: int, wanted: int, *, asked: bool
) -> Resources:
    """Returns the resources of trials on machines without a GPU: one thread each, and more where
    memory or the number of trials leave cores idle.

    A trial never has more threads than the smallest node has cores, so that every node is used. Ray
    also reserves the memory of a trial, but at most that of the smallest node, because an estimate
    must not keep every trial waiting.
    """
    memory = 0 if asked else min(worker_bytes, *(machine.memory_bytes for machine in machines))
    kind = Resources(concurrent=0, threads=1, gpus=0.0, why="", memory_bytes=memory)
    goal = min(wanted, _count_slots(machines, kind))
    most = min(machine.cpus for machine in machines)
    while kind.threads < most:
        more = replace(kind, threads=kind.threads + 1)
        if _count_slots(machines, more) < goal:
            break
        kind = more
    why = f"{'as asked' if asked else 'as many as cores and memory allow'} in {_count(machines)}"
    return replace(kind, concurrent=max(1, min(wanted, _count_slots(machines, kind))), why=why)


def _count(machines: Sequence[Machine]) -> str:
    return "1 node" if len(machines) == 1 else f"{len(machines)} nodes"


def _count_slots(machines: Iterable[Machine], kind: Resources) -> int:
    """Returns how many trials with these resources fit on the machines."""
    return sum(_count_slots_on(machine, kind) for machine in machines)


def _count_slots_on(machine: Machine, kind: Resources) -> int:
    by_cores = machine.cpus // kind.threads
    if kind.gpus:
        return min(by_cores, trials_by_gpu(machine, kind.gpus))
    by_memory = machine.memory_bytes // kind.memory_bytes if kind.memory_bytes else by_cores
    return min(by_cores, by_memory)
