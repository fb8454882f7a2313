"""Describes how busy the machine was on which a search ran, as its records hold it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Self

from results.jsonl import read_lines
from results.run_hints import restore_hint
from results.store import EPOCHS, FINALIST_EPOCHS, SCREENING_EPOCHS, find_lines


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineUse:
    """Holds how much of a machine was in use, as shares in 0…1: of all its cores and of its memory,
    by everything that runs on it, and of its GPUs and their memory, which are `None` where NVML
    knows no GPU.
    """

    processor: float
    memory: float
    gpu: float | None = None
    gpu_memory: float | None = None

    def describe(self) -> str:
        """Returns the shares in words."""
        words = f"processor {self.processor:.0%}, memory {self.memory:.0%}"
        if self.gpu is None or self.gpu_memory is None:
            return words
        return f"{words}, GPU {self.gpu:.0%}, its memory {self.gpu_memory:.0%}"

    def to_record(self) -> dict[str, float]:
        """Returns the entries of an epoch's line that hold these shares."""
        return {
            f"use_{name}": round(value, 4)
            for name, value in asdict(self).items()
            if value is not None
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self | None:
        """Returns the shares in such entries, or `None` where an older version wrote them."""
        if "use_processor" not in record:
            return None
        found: dict[str, Any] = {e.name: record.get(f"use_{e.name}") for e in fields(cls)}
        return cls(**found)


def read_machine_use(directory: Path) -> list[tuple[float, MachineUse]]:
    """Returns (seconds, use) at the end of each recorded epoch, in order. The seconds are those of
    all sessions, without the time between them. Raises `RecordError` for a damaged line.
    """
    remedy = partial(restore_hint, directory)
    lines: Iterable[Mapping[str, Any]] = [
        line
        for name in (SCREENING_EPOCHS, EPOCHS, FINALIST_EPOCHS)
        if (directory / name).exists()
        for line in read_lines(directory / name, find_lines(directory, name), remedy)
        if "session_s" in line
    ]
    ends: dict[int, float] = {}
    for line in lines:
        session, at_s = int(line["session"]), float(line["session_s"])
        ends[session] = max(at_s, ends.get(session, 0.0))
    before = {each: sum(s for other, s in ends.items() if other < each) for each in ends}
    found = [
        (before[int(line["session"])] + float(line["session_s"]), use)
        for line in lines
        if (use := MachineUse.from_record(line))
    ]
    return sorted(found, key=lambda each: each[0])
