"""A cluster's nodes, and which trials run on which of them. Knows no Ray.

Nodes may differ, and come and go while a search runs: slots are counted on those that are there.
Trials take GPUs where nodes have some; nodes without one train beside them, on their cores.
"""

from collections.abc import Callable, Sequence

from search.hardware.allocation import Resources, _count_slots
from search.hardware.machine import Node
from search.ray_backend.task import Placement


class Slots:
    """Which kind of resources each running trial has, by its key; Ray then finds the node.

    `nodes` gives those that are there now; `None` is a machine that stays as it is. Of an
    `asked` number of trials those beyond the slots wait for nodes to come.
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
        """A free slot for a trial that begins, on a GPU first; `None` where all are taken."""
        free = self._free()
        if free is None:
            return None
        self._taken[key] = free
        return self._kinds[free]

    def again(self, key: str) -> Resources:
        """The slot of a trial whose node was lost: of another kind where its own is gone."""
        held = self._taken.pop(key)
        if self._room()[held] > 0:
            free: int | None = held
        else:
            free = self._free()
        self._taken[key] = held if free is None else free
        return self._kinds[self._taken[key]]

    def release(self, key: str) -> None:
        """Gives the slot of a trial that has ended free."""
        self._taken.pop(key, None)

    def place(self, slot: Resources) -> Placement:
        """What a training in this slot has. Without a GPU it leaves the cores of nodes that have
        some to the trials on these.
        """
        apart: list[str] = []
        if self._nodes is not None and self._kinds[0].gpus and not slot.gpus:
            apart = sorted(node.id for node in self._nodes() if node.machine.gpus)
        return Placement(
            threads=slot.threads,
            gpus=slot.gpus,
            memory_bytes=slot.memory_bytes,
            apart_from=tuple(apart),
        )

    def _free(self) -> int | None:
        room = self._room()
        taken = list(self._taken.values())
        free = [n for n, slots in enumerate(room) if taken.count(n) < slots]
        return free[0] if free else None

    def _room(self) -> list[int]:
        """Slots of each kind, taken ones included."""
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
