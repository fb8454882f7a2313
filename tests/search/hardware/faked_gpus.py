"""GPUs, and answers about them, of machines that aren't here."""

from collections.abc import Sequence
from typing import Any

from common.nvml import Card, Driver
from search.hardware.gpus import Gpu

GIB = 1 << 30


def gpus(*names: str, gib: float = 80, free: float | None = None) -> tuple[Gpu, ...]:
    """Returns GPUs with these names, each with `gib` of memory, of which `free` is free."""
    memory, rest = int(gib * GIB), int((gib if free is None else free) * GIB)
    return tuple(
        Gpu(id=str(n), name=name, memory_bytes=memory, free_bytes=rest)
        for n, name in enumerate(names)
    )


def cards(*names: str, slices: Sequence[str] | None = None, mode: int = 0) -> Driver:
    """Returns what NVML answers for cards with these names, all of which have these slices and this
    compute mode.
    """
    divided = None if slices is None else tuple(slices)
    found = (Card(name=name, uuid=f"GPU-{name}", slices=divided, mode=mode) for name in names)
    return Driver(version="550.54", cards=tuple(found))


def listed(name: str, gib: float = 80, **more: Any) -> dict[str, Any]:
    """Returns a GPU as torch lists it."""
    size = int(gib * GIB)
    known = {"uuid": f"u-{name}", "memory_bytes": size, "free_bytes": size, "capability": "9.0"}
    return {"name": name, "error": "", **known, **more}


class FakeTorch:
    """Answers as a process does that lists the GPUs, and records what it is asked for.

    by_id: the GPUs that each word of CUDA_VISIBLE_DEVICES shows; `None` stands for the variable as
    it is.
    """

    def __init__(
        self,
        by_id: dict[str | None, list[dict[str, Any]]],
        error: str = "",
        cuda: str | None = "13.0",
        torch: str = "2.14.1+cu130",
    ) -> None:
        self.by_id, self.error, self.built = by_id, error, {"torch": torch, "cuda": cuda}
        self.asked: list[Sequence[str]] = []

    def __call__(self, ids: Sequence[str]) -> dict[str, Any]:
        self.asked.append(ids)
        answers = [
            {"gpus": self.by_id.get(word, []), "error": self.error} for word in (ids or [None])
        ]
        return {**self.built, "answers": answers}
