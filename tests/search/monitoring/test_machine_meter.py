"""The use of this machine: measured by its own counters, over a time that is long enough."""

import time
from collections import namedtuple

import psutil
import pytest

from common.nvml import Load
from search.monitoring import machine_meter
from search.monitoring.machine_meter import EVERY_S, MachineMeter

Times = namedtuple("Times", "user system idle iowait guest guest_nice")


class Machine:
    """A machine whose clock and processor times a test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.busy, self.whole = 0.0, 10.0, 100.0
        monkeypatch.setattr(psutil, "cpu_times", self.times)

    def times(self) -> Times:
        """Half of the busy time is the system's, and a guest's is counted among the user's."""
        idle = self.whole - self.busy
        return Times(self.busy / 2, self.busy / 2, idle * 0.75, idle * 0.25, self.busy / 4, 0.0)

    def run(self, seconds: float, busy: float) -> None:
        self.now, self.whole, self.busy = (
            self.now + seconds,
            self.whole + 2 * seconds,
            (self.busy + busy),
        )


def test_the_processors_share_is_the_mean_since_before(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    meter = MachineMeter(list, lambda: machine.now)
    assert meter.measure() is None
    assert meter.to_record() == {}
    machine.run(4.0, busy=6.0)  # of 8 core-seconds
    first = meter.measure()
    assert first is not None
    assert first.processor == pytest.approx(0.75)
    assert (first.gpu, first.gpu_memory) == (None, None)
    assert 0 < first.memory < 1
    machine.run(EVERY_S / 2, busy=2.0)
    assert meter.measure() is first  # too soon for another one
    machine.run(EVERY_S / 2, busy=0.0)
    second = meter.measure()
    assert second is not None
    assert second.processor == pytest.approx(0.5)
    assert meter.to_record()["use_processor"] == 0.5


def test_cards_are_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    cards = [
        Load(busy=1.0, used_bytes=6, total_bytes=10),
        Load(busy=0.5, used_bytes=0, total_bytes=30),
    ]
    meter = MachineMeter(lambda: cards, lambda: machine.now)
    machine.run(EVERY_S, busy=0.0)
    found = meter.measure()
    assert found is not None
    assert (found.processor, found.gpu, found.gpu_memory) == (0.0, 0.75, 0.15)


def test_a_busy_core_is_seen() -> None:
    """By the system's own counters, which count in hundredths of a second."""
    before = machine_meter._processor_times()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    busy, whole = (
        new - old for new, old in zip(machine_meter._processor_times(), before, strict=True)
    )
    assert 0.2 < busy < whole + 0.1
