"""Decides how many trials run at once, and with which share of the hardware."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from search.hardware.gpus import Gpu
from search.hardware.machine import Machine, Node
from trainables.profiling.gpu_need import GpuNeed

MARGIN = 1.2
"""A trial is allocated this many times the GPU memory that a few of its steps took."""

HOST_BYTES = 3 << 30
"""A worker on a GPU is assumed to take this much memory of its machine, in bytes: torch with CUDA's
libraries, and its loader's buffers. This hasn't been measured on a GPU yet.
"""

_USED = 0.8
"""This share of a machine's memory may be taken by trials."""

_PARTS = 10_000
"""Ray counts GPUs in parts of this size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Describes the hardware of `concurrent` trials, each with `threads` CPU threads. On a GPU
    there are `per_gpu` of them, which is 0 for trials on cores.

    On a cluster each trial reserves `memory_bytes` of a machine, unless that is 0. `free` is the
    share of its memory that no other process holds on each GPU, by its UUID. `resident` is whether
    a trial's part of the GPU was measured to have room for the dataset's images, which then stay
    there. `captured` is whether a trial takes a step on a GPU as one CUDA graph. `beside` describes
    further trials, on nodes without a GPU, where these trials run on GPUs. `why` explains the
    number of trials in words.
    """

    concurrent: int
    threads: int
    why: str
    per_gpu: int = 0
    memory_bytes: int = 0
    free: Mapping[str, float] = field(default_factory=dict)
    resident: bool = False
    captured: bool = False
    beside: "Resources | None" = None

    @property
    def gpus(self) -> float:
        """Returns the share of a GPU that Ray gives each trial: 1/k for k trials, cut to the
        ten-thousandths that Ray counts in, so that k of them never exceed one. It is 0 on cores.
        """
        return _PARTS // self.per_gpu / _PARTS if self.per_gpu else 0.0

    @property
    def kinds(self) -> tuple["Resources", ...]:
        """Returns these resources, and those beside them if there are any."""
        return (self, self.beside) if self.beside else (self,)

    @property
    def at_once(self) -> int:
        """Returns how many trials of all kinds run at the same time."""
        return sum(kind.concurrent for kind in self.kinds)

    @property
    def gpus_held(self) -> int:
        """Returns how many GPUs the trials that run at the same time hold."""
        return math.ceil(round(self.concurrent * self.gpus, 6))


def fits(gpu: Gpu, need: GpuNeed) -> bool:
    """Returns whether a GPU, of which only its name may be known, holds one training."""
    return not gpu.memory_bytes or gpu.free_bytes >= need.needed_bytes


def trials_by_memory(need: GpuNeed, gpus: Iterable[Gpu], image_bytes: int) -> tuple[int, bool]:
    """Returns how many trainings fit on each of the GPUs, which hold one at least, with a margin
    of a fifth, by the memory that is free there; and whether each has room for the dataset's images
    too. They count where at least one training has that room.

    The smallest GPU decides for all, because Ray gives all trials equal shares of a GPU, and can't
    tell one GPU of a machine from another.
    """
    free = min(gpu.free_bytes if gpu.memory_bytes else need.free_bytes for gpu in gpus)
    with_images = int(free / ((need.needed_bytes + image_bytes) * MARGIN))
    alone = max(1, int(free / (need.needed_bytes * MARGIN)))
    return seatable(with_images or alone), with_images > 0


def seatable(trials: int) -> int:
    """Returns the largest number of trials up to `trials` of which Ray seats exactly so many on a
    GPU. Up to 100 it is the number itself; beyond, ten-thousandths are too coarse for some.
    """
    trials = min(trials, _PARTS)
    while _PARTS // (_PARTS // trials) > trials:
        trials -= 1
    return trials


def trials_asked(gpus_per_trial: str) -> int:
    """Returns how many trials share a GPU by the option `--gpus-per-trial`: one where it is `auto`,
    none where it is 0.
    """
    share = 1.0 if gpus_per_trial == "auto" else float(gpus_per_trial)
    return seatable(int(1 / share + 1e-9)) if share else 0


def allocate(
    machine: Machine, *, concurrency: str, per_gpu: int, trials: int, worker_bytes: int
) -> Resources:
    """Returns how many trials run at once on this machine, and with which resources.

    concurrency: `auto` or a number, as in the options.
    per_gpu: how many trials may share a GPU, 0 for trials on cores. A machine without a GPU trains
        on its cores.
    trials: the number of trials of the search.
    worker_bytes: the memory that the largest trial needs on CPUs, in bytes.

    A trial on a GPU also needs a core and `HOST_BYTES` of memory. Where there are fewer trials than
    places, fewer share a GPU, and no GPU stays empty. On CPUs each trial has one thread and each
    core one trial, as far as four fifths of the memory suffice: two trials of one thread train more
    images a second than one trial of two (measured with ResNet-18 and ResNet-50 on two cores).
    """
    per_gpu = per_gpu if machine.gpus else 0
    by_memory = max(
        1, int(machine.memory_bytes * _USED / (HOST_BYTES if per_gpu else worker_bytes))
    )
    if per_gpu:
        most, count = per_gpu * len(machine.gpus), len(machine.gpus)
        fitting = min(most, machine.cpus, by_memory)
        limits = {most: "", machine.cpus: ", as many as cores allow"}
        limit = limits.get(fitting, f", as many as memory allows at {_gib(HOST_BYTES)} each")
        why = f"up to {per_gpu} on {_gpus(count)}{limit}"
    else:
        fitting = min(machine.cpus, by_memory)
        memory = f"memory allows at {_gib(worker_bytes)} each"
        limit = "cores allow" if fitting == machine.cpus else memory
        why = f"one thread a trial, as many as {limit}"
    if concurrency != "auto":
        asked = int(concurrency)
        # Trials beyond what the GPUs hold would only wait for each other.
        fitting = min(asked, per_gpu * len(machine.gpus)) if per_gpu else asked
        held = f"of {asked} asked for, up to {per_gpu} on {_gpus(len(machine.gpus))}"
        why = "as asked" if fitting == asked else held
    concurrent = min(fitting, trials)
    per_gpu = seatable(math.ceil(concurrent / len(machine.gpus))) if per_gpu else 0
    return Resources(
        concurrent=concurrent,
        threads=max(1, machine.cpus // concurrent),
        why=why,
        per_gpu=per_gpu,
        free=_free_shares([machine]) if per_gpu else {},
    )


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"each of {count} GPUs"


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def _free_shares(machines: Iterable[Machine]) -> dict[str, float]:
    """Returns the share of its memory that is free on each GPU whose memory is known, by its UUID.
    Of several with one UUID, which MIG slices may have, the smallest share counts.
    """
    shares: dict[str, float] = {}
    for gpu in (gpu for machine in machines for gpu in machine.gpus if gpu.memory_bytes):
        share = gpu.free_bytes / gpu.memory_bytes
        shares[gpu.uuid] = min(share, shares.get(gpu.uuid, share))
    return shares


def allocate_nodes(
    nodes: Sequence[Node],
    *,
    concurrency: str,
    per_gpu: int,
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
    with_gpu = [machine for machine in machines if machine.gpus and per_gpu]
    bare = [machine for machine in machines if machine not in with_gpu]
    asked = concurrency != "auto"
    kinds = [_on_gpus(with_gpu, per_gpu, wanted, asked=asked)] if with_gpu else []
    left = wanted - sum(kind.concurrent for kind in kinds)
    if bare and left and not (kinds and gpus_only):
        kinds.append(_on_cores(bare, worker_bytes, left, asked=asked))
        left -= kinds[-1].concurrent
    if asked and left > 0:
        kinds[-1] = replace(kinds[-1], concurrent=kinds[-1].concurrent + left, why="as asked")
    return replace(kinds[0], beside=kinds[1]) if len(kinds) > 1 else kinds[0]


def _on_gpus(machines: Sequence[Machine], per_gpu: int, wanted: int, *, asked: bool) -> Resources:
    """Returns the resources of trials on machines with GPUs, up to `per_gpu` a GPU, and fewer where
    fewer seat as many trials: Ray would fill the first GPUs first.
    """
    memory, free = _reserved(machines, HOST_BYTES, asked=asked), _free_shares(machines)

    def sharing(count: int) -> Resources:
        threads = min(max(1, m.cpus // (count * len(m.gpus))) for m in machines)
        return Resources(
            concurrent=0,
            threads=threads,
            why="",
            per_gpu=count,
            memory_bytes=memory,
            free=free,
        )

    slots = _count_slots(machines, sharing(per_gpu))
    total = sum(len(machine.gpus) for machine in machines)
    limit = "" if slots == per_gpu * total else ", as many as cores and memory allow"
    why = f"up to {per_gpu} on {_gpus(total)} in {_count(machines)}{limit}"
    concurrent = max(1, min(wanted, slots))
    fewer = (sharing(count) for count in range(1, per_gpu) if seatable(count) == count)
    enough = (kind for kind in fewer if _count_slots(machines, kind) >= concurrent)
    return replace(next(enough, sharing(per_gpu)), concurrent=concurrent, why=why)


def _on_cores(
    machines: Sequence[Machine], worker_bytes: int, wanted: int, *, asked: bool
) -> Resources:
    """Returns the resources of trials on machines without a GPU: one thread each, and more where
    memory or the number of trials leave cores idle.

    A trial never has more threads than the smallest node has cores, so that every node is used. Ray
    also reserves the memory of a trial, but at most that of the smallest node, because an estimate
    must not keep every trial waiting.
    """
    memory = _reserved(machines, worker_bytes, asked=asked)
    kind = Resources(concurrent=0, threads=1, why="", memory_bytes=memory)
    goal = min(wanted, _count_slots(machines, kind))
    most = min(machine.cpus for machine in machines)
    while kind.threads < most:
        more = replace(kind, threads=kind.threads + 1)
        if _count_slots(machines, more) < goal:
            break
        kind = more
    why = f"{'as asked' if asked else 'as many as cores and memory allow'} in {_count(machines)}"
    return replace(kind, concurrent=max(1, min(wanted, _count_slots(machines, kind))), why=why)


def _reserved(machines: Sequence[Machine], worker_bytes: int, *, asked: bool) -> int:
    return 0 if asked else min(worker_bytes, *(machine.memory_bytes for machine in machines))


def _count(machines: Sequence[Machine]) -> str:
    return "1 node" if len(machines) == 1 else f"{len(machines)} nodes"


def _count_slots(machines: Iterable[Machine], kind: Resources) -> int:
    """Returns how many trials with these resources fit on the machines."""
    return sum(_count_slots_on(machine, kind) for machine in machines)


def _count_slots_on(machine: Machine, kind: Resources) -> int:
    by_cores = machine.cpus // kind.threads
    by_gpus = kind.per_gpu * len(machine.gpus) if kind.per_gpu else by_cores
    by_memory = machine.memory_bytes // kind.memory_bytes if kind.memory_bytes else by_cores
    return min(by_cores, by_gpus, by_memory)
