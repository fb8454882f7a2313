"""What this machine has, and how many trials run on it at once."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from search.hardware.machine import Machine, Node

MARGIN = 1.2
"""Memory on a GPU that a trial is given beyond what a few steps of it took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """`concurrent` trials, each with `threads` CPU threads and a share `gpus` of a GPU.

    On a cluster each is promised `memory_bytes`, where that isn't 0; `beside` them, on GPUs, other
    trials run on nodes without one.
    """

    concurrent: int
    threads: int
    gpus: float
    why: str
    memory_bytes: int = 0
    beside: "Resources | None" = None

    @property
    def kinds(self) -> tuple["Resources", ...]:
        """These, and those beside them."""
        return (self, self.beside) if self.beside else (self,)

    @property
    def at_once(self) -> int:
        """Trials at the same time, of all kinds."""
        return sum(kind.concurrent for kind in self.kinds)


def gpu_share(needed_bytes: int, total_bytes: int) -> float:
    """The share of a GPU for a trial that needs `needed_bytes`, with a margin of a fifth.

    1/k for k trials a GPU, cut to hundredths so that k of them never exceed one.
    """
    trials = max(1, int(total_bytes / (needed_bytes * MARGIN)))
    return math.floor(100 / trials) / 100


def trials_by_gpu(machine: Machine, share: float) -> int:
    """How many trials with a share of a GPU each the GPUs of a machine hold.

    A trial doesn't reach over two GPUs for its share, so each holds whole trials.
    """
    if share <= 1:
        return len(machine.gpus) * int(1 / share)
    return int(len(machine.gpus) / share)


def allocate(
    machine: Machine, *, concurrency: str, gpus_per_trial: str, trials: int, worker_bytes: int
) -> Resources:
    """How many trials run at once. `concurrency` and `gpus_per_trial` are `auto` or numbers.

    On GPUs one trial a GPU unless told otherwise, and a core for each. On CPUs one thread a trial
    and a trial a core, as far as four fifths of the memory go, at `worker_bytes` each: two trials
    of one thread train more images a second than one of two (measured with ResNet-18 and
    ResNet-50 on two cores).
    """
    if machine.gpus:
        gpus = 1.0 if gpus_per_trial == "auto" else float(gpus_per_trial)
    else:
        gpus = 0.0 if gpus_per_trial == "auto" else float(gpus_per_trial)
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
        # More than the GPUs hold would only wait for each other.
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
    return replace(kind, concurrent=max(1, min(wanted, _count_slots(machines, kind))), why=why)


def _on_cores(
    machines: Sequence[Machine], worker_bytes: int, wanted: int, *, asked: bool
) -> Resources:
    """A thread a trial, and more where memory or the number of trials leave cores idle.

    Never more than the smallest node has, so that each node is used. Ray is asked for the memory
    too, at most what that node has: an estimate must not keep every trial waiting.
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
    """How many trials of a kind fit on these machines."""
    return sum(_count_slots_on(machine, kind) for machine in machines)


def _count_slots_on(machine: Machine, kind: Resources) -> int:
    by_cores = machine.cpus // kind.threads
    if kind.gpus:
        return min(by_cores, trials_by_gpu(machine, kind.gpus))
    by_memory = machine.memory_bytes // kind.memory_bytes if kind.memory_bytes else by_cores
    return min(by_cores, by_memory)
