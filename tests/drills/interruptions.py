"""What the drill of signals shares: commands that are hit at a drawn moment, and what must hold."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.drills.searches import ENVIRONMENT, PATIENCE_S, ROOT

SIGNALS = ("INT", "TERM", "HUP", "XCPU", "USR1")
PHASES = ("start", "data", "trials", "finalists", "final")
MARK = "SIGNAL_DRILL"
"""Every process of a command has this environment variable, however it was started."""


@dataclass
class Hit:
    """One signal to one command, and how that ended. `code` is None where it came too late."""

    phase: str
    signal: str
    at_s: float
    code: int | None = None
    ended_s: float = 0.0
    left: tuple[str, ...] = ()


def hit(
    command: Sequence[str],
    phase: str,
    name: str,
    moment: random.Random,
    longest_s: float,
    ready: Callable[[], bool] = lambda: True,
) -> Hit:
    """Starts a command, waits until it is ready, and for a drawn part of `longest_s` more, then
    sends the signal to its process group, as a terminal does. Checks all that doesn't depend on the
    command.
    """
    number = signal.Signals[f"SIG{name}"]
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    for each in (signal.SIGHUP, signal.SIGINT):  # `nohup` and shells in the background ignore them
        signal.signal(each, signal.SIG_DFL)
    process = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT | {MARK: mark}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + PATIENCE_S
    while not ready() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    result = Hit(phase, name, round(moment.uniform(0.15, longest_s), 2))
    time.sleep(result.at_s)
    if process.poll() is None:
        os.killpg(process.pid, number)
    began = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE_S)
    result.ended_s = round(time.monotonic() - began, 2)
    assert "Traceback" not in out + err, out + err
    assert "*** SIG" not in err, err
    result.left = tuple(wait_for_none(mark))
    if process.returncode != 0:
        assert process.returncode == 128 + number, (process.returncode, out + err)
        result.code = process.returncode
    return result


def wait_for_none(mark: str, patience_s: float = 20.0) -> list[str]:
    """The command lines of the command's processes that are still there after a while."""
    until = time.monotonic() + patience_s
    while (found := marked(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def marked(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()) or process.name())
        except psutil.Error:
            continue
    return found


def record(found: Hit, path: Path) -> None:
    """Adds a hit to a log, from which the drill goes on when it is started again."""
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(found.__dict__) + "\n")


def counted(path: Path, phase: str, name: str) -> int:
    """How many hits of a cell the log holds."""
    if not path.exists():
        return 0
    hits = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return sum(h["phase"] == phase and h["signal"] == name and h["code"] is not None for h in hits)
