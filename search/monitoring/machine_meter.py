"""Measures how busy this machine is, for the screen and for the records of epochs."""

import time
from collections.abc import Callable, Sequence

import psutil

from common.nvml import Load, read_loads
from results.analysis.machine_use import MachineUse

EVERY_S = 2.0
"""A measurement is at most this old, and no processor share is that of a shorter time."""


class MachineMeter:
    """Measures the shares of this machine that are in use. On a cluster it knows nothing of the
    other nodes. Only one thread may call it.

    loads: returns the load of each GPU.
    clock: returns seconds since any fixed moment.
    """

    def __init__(
        self,
        loads: Callable[[], Sequence[Load]] = read_loads,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loads = loads if loads() else None
        self._clock, self._at_s = clock, clock()
        self._before = _processor_times()
        self._latest: MachineUse | None = None

    def measure(self) -> MachineUse | None:
        """Returns what is in use: the processors' share is the mean since the measurement before,
        or since the beginning. Returns `None` until the first `EVERY_S` have passed.
        """
        now = self._clock()
        if now - self._at_s < EVERY_S:
            return self._latest
        self._at_s, before, self._before = now, self._before, _processor_times()
        busy, whole = (new - old for new, old in zip(self._before, before, strict=True))
        loads = self._loads() if self._loads else ()
        self._latest = MachineUse(
            processor=min(max(busy / whole, 0.0), 1.0) if whole > 0 else 0.0,
            memory=psutil.virtual_memory().percent / 100,
            gpu=sum(each.busy for each in loads) / len(loads) if loads else None,
            gpu_memory=_share(loads) if loads else None,
        )
        return self._latest

    def to_record(self) -> dict[str, float]:
        """Returns the entries of an epoch's line that hold what is in use, if that is known."""
        use = self.measure()
        return use.to_record() if use else {}


def _share(loads: Sequence[Load]) -> float:
    return sum(each.used_bytes for each in loads) / sum(each.total_bytes for each in loads)


def _processor_times() -> tuple[float, float]:
    """Returns the seconds in which cores were busy, and all their seconds, since the machine's
    start. A guest's seconds are among the user's.
    """
    times = psutil.cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    whole = sum(times) - guests
    return whole - times.idle - getattr(times, "iowait", 0.0), whole
