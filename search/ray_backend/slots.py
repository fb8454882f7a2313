"""Assigns the slots of a machine or of a cluster's nodes to trials. Knows no Ray.

Nodes may differ, and join and leave while a search runs: slots are counted on those that are up.
Trials use GPUs where nodes have some; nodes without a GPU train on their cores at the same time.
"""

from collections.abc import Callable, Sequence

from search.hardware.allocation import Resources, _count_slots
from search.hardware.machine import Node
from search.ray_backend.task import Placement


class Slots:
    """Records which kind of resources each running trial has, by its key; Ray chooses the node.

    nodes: returns the nodes that are up, or is `None` for a single machine.
    asked: whether the user asked for a number of trials at once; those beyond the slots then wait
        for nodes to join.
    limit: returns how many slots may be taken now, or `None` for all. Where more are taken already,
        their trials go on.
    """

    def __init__(
        self,
        resources: Resources,
        nodes: Callable[[], Sequence[Node]] | None = None,
        *,
        asked: bool = False,
        limit: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._kinds, self._nodes, self._asked = resources.kinds, nodes, asked
        self._limit = limit
        self._taken: dict[str, int] = {}

    @property
    def on_cluster(self) -> bool:
        """Returns whether there are several nodes, of which Ray chooses one for each trial."""
        return self._nodes is not None

    def take(self, key: str) -> Resources | None:
        """Takes a free slot for a trial, on a GPU first, or returns `None` where all are taken."""
        free, limit = self._free(), self._limit()
        if free is None or (limit is not None and len(self._taken) >= limit):
            return None
        self._taken[key] = free
        return self._kinds[free]

    def again(self, key: str) -> Resources:
        """Returns the slot of a trial whose node was lost, of another kind where its own is
        gone.
        """
        held = self._taken.pop(key)
        if self._room()[held] > 0:
            free: int | None = held
        else:
            free = self._free()
        self._taken[key] = held if free is None else free
        return self._kinds[self._taken[key]]

    def taken(self) -> int:
        """Returns how many slots are taken."""
        return len(self._taken)

    def release(self, key: str) -> None:
        """Releases the slot of a trial that has ended."""
        self._taken.pop(key, None)

    def place(self, slot: Resources) -> Placement:
        """Returns the placement of a training in this slot. Without a GPU, it leaves the cores of
        nodes that have GPUs to the trials there.
        """
        apart: list[str] = []
        if self._nodes is not None and self._kinds[0].gpus and not slot.gpus:
            apart = sorted(node.id for node in self._nodes() if node.machine.gpus)
        return Placement(
            threads=slot.threads,
            gpus=slot.gpus,
            per_gpu=slot.per_gpu,
            free=slot.free,
            resident=slot.resident,
            captured=slot.captured,
            memory_bytes=slot.memory_bytes,
            apart_from=tuple(apart),
        )

    def _free(self) -> int | None:
        room = self._room()
        taken = list(self._taken.values())
        free = [n for n, slots in enumerate(room) if taken.count(n) < slots]
        return free[0] if free else None

    def _room(self) -> list[int]:
        """Returns the number of slots of each kind, taken ones included."""
        if self._nodes is None:
            return [kind.concurrent for kind in self._kinds]
        machines = [node.machine for node in self._nodes()]
        on_gpus = self._kinds[0].gpus > 0
        room = [
            _count_slots(
                [m for m in machines if not on_gpus or bool(m.gpus) == bool(kind.gpus)], kind
            )
            for kind in self._kinds
        ]
        if self._asked:
            total = sum(kind.concurrent for kind in self._kinds)
            room[-1] += max(0, total - sum(room))
            for number, slots in enumerate(room):
                room[number] = min(slots, total - sum(room[:number]))
        return room
