"""Sums up the time that a run's sessions took, and held GPUs, from its manifest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuTime:
    """Holds for how long GPUs were held, in seconds of one GPU, and for how long they were busy.

    A GPU is held while at least one training runs on it. Busy is the sum over all epochs of the
    training's share of a GPU times the epoch's seconds, without those spent waiting for images; it
    is `None` where an older version recorded a session.
    """

    held_s: float = 0.0
    busy_s: float | None = 0.0

    @property
    def busy(self) -> float | None:
        """Returns the busy share of the time for which GPUs were held, 0…1, if it is known. It is 0
        where no GPU was held.
        """
        return None if self.busy_s is None else self.busy_s / (self.held_s or 1.0)

    def plus(self, own: "GpuTime") -> "GpuTime":
        """Returns the sum of both times."""
        known = self.busy_s is not None and own.busy_s is not None
        busy_s = (self.busy_s or 0.0) + (own.busy_s or 0.0)
        return GpuTime(held_s=self.held_s + own.held_s, busy_s=busy_s if known else None)

    def describe(self) -> str:
        """Returns the time in words. The text is empty where no GPU was held."""
        if not self.held_s:
            return ""
        busy = "" if self.busy is None else f", {100 * self.busy:.0f} % of them busy"
        return f"{self.held_s / 3600:.2f} GPU-hours{busy}"

    def to_record(self) -> dict[str, float]:
        """Returns the entries of a session, or of an epoch's line, that hold this time."""
        return {"gpu_s": round(self.held_s, 3), "gpu_busy_s": round(self.busy_s or 0.0, 3)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self | None:
        """Returns the time in such entries, or `None` where there is none."""
        if "gpu_s" not in record:
            return None
        return cls(held_s=float(record["gpu_s"]), busy_s=float(record["gpu_busy_s"]))


def sum_gpu_time(sessions: Iterable[Mapping[str, Any]], training_gpu_s: float) -> GpuTime:
    """Returns for how long the ended sessions together held GPUs.

    training_gpu_s: each training's share of a GPU times the time of its epochs, of all trainings.
        Older versions recorded no other time: the result is at least this where a session lacks
        its own.
    """
    found = [GpuTime.from_record(entry) for entry in sessions if entry.get("ended")]
    total = reduce(GpuTime.plus, filter(None, found), GpuTime())
    if None in found:
        return GpuTime(held_s=max(total.held_s, training_gpu_s), busy_s=None)
    return total


def used_seconds(sessions: Iterable[Mapping[str, Any]]) -> float:
    """Returns the seconds that the ended sessions took together, without the time between them.

    Sessions of older versions recorded only two dates, between which the machine's clock may have
    been set; one that seems to have ended before it began counts as 0 s.
    """
    return sum(_seconds(entry) for entry in sessions if entry.get("ended"))


def _seconds(entry: Mapping[str, Any]) -> float:
    if "used_s" in entry:
        return float(entry["used_s"])
    began, ended = (datetime.fromisoformat(entry[key]) for key in ("started", "ended"))
    return max((ended - began).total_seconds(), 0.0)
