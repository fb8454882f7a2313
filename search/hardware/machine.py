"""Describes the hardware of a machine: cores, memory and GPUs, on its own or as a node of a
cluster.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.allowance import allowed_cores, allowed_memory, describe_limits
from search.hardware.gpus import Gpu, find_gpus


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Describes the hardware that this process may use: the number of cores, the memory in bytes,
    the GPUs that torch computes on, a phrase for each limit, such as a container's, that leaves it
    fewer cores or less memory than the machine has, and a sentence for each reason why it has more
    GPUs than torch can use, and for each reason why one of them stays idle.
    """

    cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]
    limits: tuple[str, ...] = ()
    gpu_faults: tuple[str, ...] = ()
    gpu_notes: tuple[str, ...] = ()

    @property
    def older_gpus(self) -> tuple[Gpu, ...]:
        """Returns the GPUs that only emulate bfloat16: those before compute capability 8."""
        return tuple(gpu for gpu in self.gpus if gpu.capability and float(gpu.capability) < 8)

    @property
    def exclusive_gpus(self) -> tuple[Gpu, ...]:
        """Returns the GPUs that let in one process at a time, and so train one trial."""
        return tuple(gpu for gpu in self.gpus if gpu.exclusive)


def detect_machine() -> Machine:
    """Returns the hardware of this machine, without importing torch into this process."""
    cores, memory, found = allowed_cores(), allowed_memory(), find_gpus()
    return Machine(
        cpus=cores.amount,
        memory_bytes=memory.amount,
        gpus=found.gpus,
        limits=describe_limits(cores, memory),
        gpu_faults=found.faults,
        gpu_notes=found.notes,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """Describes one machine of a cluster; `id` is Ray's node id in hex, and `address` an IP
    address.
    """

    id: str
    address: str
    machine: Machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Describes a cluster that this process has connected to: its nodes at that moment, the id of
    the node that this process runs on (`driver_node`), and the address of its dashboard, which is
    empty where there is none.
    """

    nodes: tuple[Node, ...]
    driver_node: str
    dashboard: str


def combine_machines(nodes: Sequence[Node]) -> Machine:
    """Returns the hardware of all nodes together as one machine, for display and for checks. Where
    there are several, each note about GPUs names its nodes.
    """
    machines = [node.machine for node in nodes]
    places: dict[str, list[str]] = {}
    for node in nodes:
        for note in node.machine.gpu_notes:
            places.setdefault(note, []).append(node.address)
    if len(nodes) > 1:
        notes = tuple(f"on {', '.join(places[note])}: {note}" for note in places)
    else:
        notes = tuple(places)
    return Machine(
        cpus=sum(machine.cpus for machine in machines),
        memory_bytes=sum(machine.memory_bytes for machine in machines),
        gpus=tuple(gpu for machine in machines for gpu in machine.gpus),
        gpu_faults=tuple(fault for machine in machines for fault in machine.gpu_faults),
        gpu_notes=notes,
    )


def cpu_model() -> str:
    """Returns the name of the processor, or its architecture where the system doesn't report a
    name.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
