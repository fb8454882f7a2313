"""Watches whether Ray itself lives, from a thread of its own.

Without its raylet, a search waits for ever for its next epoch. Without an answer of the GCS for 60
seconds (`RAY_gcs_rpc_server_reconnect_timeout_s`, ray 2.60.0), Ray's C++ code ends the process,
without a summary. The limits here are shorter.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from common.private_folder import find_processes

BEAT_S = 1.0
"""The time between two checks, in seconds."""

STOPPED_BEATS = 10
"""A process of Ray's counts as dead after it was found stopped, as by SIGSTOP, this often in a
row. Beats are counted, not seconds, because Ctrl-Z and a sleeping machine stop this process too.
"""

SILENT_BEATS = 30
"""The GCS counts as dead after this many beats without an answer, half of Ray's own 60 seconds."""

WAKE_S = 5.0
"""The main thread may take this many seconds to leave Tune's loop, and as many again after a signal
that breaks off what it waits for.
"""

_WAKE = signal.SIGURG
"""This signal is ignored by default, and nobody else uses it here."""


_KILLED_S = 10.0
"""A process that was killed may take this many seconds to end."""

START_S = 300.0
"""Ray may take this many seconds to start. Its own limits are 30 and 60 seconds a step."""


_TOO_SLOW = (
    "error: Ray hasn't started within {:.0f} s, as where the system has killed one of its first "
    "workers; see that memory suffices, then run the same command again."
)
_WAIT = """
import os, select, sys
if not select.select([0], [], [], float(sys.argv[1]))[0]:
    print(sys.argv[2], file=sys.stderr, flush=True)
    os.kill(os.getppid(), 9)
"""


@contextmanager
def limit_start(longest_s: float = START_S) -> Iterator[None]:
    """Kills this process, after a sentence, where the block takes longer. Another process waits for
    that, because Ray holds Python's lock while it waits, for ever, for a first worker that has died
    before it was ready (ray 2.60.0).
    """
    words = [str(longest_s), _TOO_SLOW.format(longest_s)]
    command = [sys.executable, "-c", _WAIT, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


class RayDied(KeyboardInterrupt):
    """Breaks off the main thread after Ray has died.

    Tune tidies up in a dead Ray, and waits for it, after every `Exception`. In Ray's own calls only
    a `KeyboardInterrupt` ends the waiting.
    """


class Liveness:
    """Looks at Ray's raylet and GCS, once a beat.

    processes: the processes that must run, by their names; empty on a cluster.
    ask: returns whether this machine's raylet is alive, by the GCS. It may wait for ever, and what
        it raises counts as no answer.
    """

    def __init__(self, processes: Mapping[str, psutil.Process], ask: Callable[[], bool]) -> None:
        self._processes, self._ask = processes, ask
        self._stopped: Counter[str] = Counter()
        self._silent, self._refused = 0, False
        self._over = threading.Event()
        self._asking = threading.Thread(target=self._ask_often, name="ask-gcs", daemon=True)
        self._asking.start()

    def dead(self) -> str | None:
        """Returns which of Ray's processes has ended, in words, or `None`."""
        for name, process in self._processes.items():
            if _status(process) in (psutil.STATUS_DEAD, psutil.STATUS_ZOMBIE):
                return f"its {name} has ended"
        return None

    def beat(self) -> str | None:
        """Returns why Ray counts as dead, or `None`. Call it once every `BEAT_S` seconds."""
        for name, process in self._processes.items():
            stopped = _status(process) == psutil.STATUS_STOPPED
            self._stopped[name] = self._stopped[name] + 1 if stopped else 0
            if self._stopped[name] >= STOPPED_BEATS:
                return f"its {name} was stopped"
        self._silent += 1
        if self._silent >= SILENT_BEATS:
            return f"its GCS hasn't answered for {SILENT_BEATS * BEAT_S:.0f} s"
        return "its raylet on this machine is lost" if self._refused else self.dead()

    def close(self) -> None:
        """Ends the questions, so that none is open when Ray is shut down: Ray ends a process that
        waits for a GCS which has ended.
        """
        self._over.set()
        self._asking.join(WAKE_S)

    def _ask_often(self) -> None:
        while not self._over.wait(BEAT_S):
            with suppress(Exception):  # of Ray, where the GCS doesn't answer
                self._refused = not self._ask()
                self._silent = 0


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status()) if process.is_running() else psutil.STATUS_DEAD
    except psutil.NoSuchProcess:
        return psutil.STATUS_DEAD


class Heartbeat:
    """Ends a session whose Ray has died: by the main thread, or where that doesn't come, itself.

    The main thread calls `check` often, and gets `RayDied` from it; where it waits for something, a
    signal breaks it off.

    kill: kills what is left of Ray on this machine.
    take_over: ends the session and the process, from the heartbeat's thread, while the main thread
        is stuck in Ray. Called with the reason why Ray counts as dead; it doesn't return.
    """

    def __init__(self, kill: Callable[[], object], take_over: Callable[[str], object]) -> None:
        self._kill, self._take_over = kill, take_over
        self.reason: str | None = None
        self._liveness: Liveness | None = None
        self._found, self._left, self._killed = (threading.Event() for _ in range(3))
        self._taken, self._lock = False, threading.Lock()

    def start(self, liveness: Liveness) -> None:
        """Starts to watch. Call it in the main thread."""
        self._liveness = liveness
        signal.signal(_WAKE, self._break_off)
        threading.Thread(
            target=self._watch, args=(liveness,), name="heartbeat", daemon=True
        ).start()

    def close(self) -> None:
        """Stops watching, before Ray is shut down; the main thread has left Ray's code by then."""
        self.leave()
        self._found.set()
        if self._liveness:
            self._liveness.close()

    def report(self, reason: str) -> None:
        """Reports that Ray is dead, as something else has shown."""
        with self._lock:
            if not self._found.is_set():
                self.reason = reason
                self._found.set()

    def check(self) -> None:
        """Raises `RayDied` if Ray has died, as far as that can be seen at once."""
        if self._liveness and self.reason is None and (dead := self._liveness.dead()):
            self.report(dead)
        if self.reason is not None:
            raise RayDied(self.reason)

    def leave(self) -> None:
        """Reports that the main thread has left Ray's code, and ends the session itself.

        If Ray has died, this returns once what is left of it has been killed, so that no worker
        writes a checkpoint beside those of a new process. Where the heartbeat has taken over, this
        doesn't return.
        """
        with self._lock:
            if not self._taken:
                self._left.set()
        if not self._left.is_set():
            threading.Event().wait()
        if self.reason is not None and self._liveness:
            self._killed.wait()

    def _watch(self, liveness: Liveness) -> None:
        while not self._found.wait(BEAT_S):
            if reason := liveness.beat():
                self.report(reason)
        if self.reason is None:
            return
        try:
            self._kill()
        finally:
            self._killed.set()
        if self._left.wait(WAKE_S):
            return
        signal.pthread_kill(threading.main_thread().ident or 0, _WAKE)
        if self._left.wait(WAKE_S):
            return
        with self._lock:
            if self._left.is_set():
                return
            self._taken = True
        self._take_over(self.reason)

    def _break_off(self, *_: object) -> None:
        if self.reason is not None and not self._taken and not self._left.is_set():
            raise RayDied(self.reason)


def kill_ray() -> None:
    """Kills whatever is left of the Ray on this machine that this process has started.

    Workers, which outlive a raylet that was killed, are found by the files of Ray's session that
    they have open.
    """
    node = _node()
    if node is None:
        return
    found = [child for each in _of_ray(node) for child in _family(each)]
    found += find_processes(Path(node.get_session_dir_path()))
    for process in found:
        with suppress(psutil.Error):
            process.kill()
    end = time.monotonic() + _KILLED_S
    while time.monotonic() < end and not all(_has_ended(each) for each in found):
        time.sleep(0.05)


def ray_processes() -> dict[str, psutil.Process]:
    """Returns the raylet and the GCS that this process has started; empty on a cluster."""
    names = {"raylet": "raylet", "gcs_server": "GCS"}
    return {
        names[kind]: psutil.Process(each.process.pid)
        for kind, processes in _node().all_processes.items()
        for each in processes
        if kind in names
    }


def _node() -> Any:
    """Returns Ray's private object of the Ray that this process has started or joined (ray 2.60.0),
    or `None` where it has none.
    """
    import ray

    return ray._private.worker._global_node


def _of_ray(node: Any) -> list[psutil.Process]:
    found = []
    for processes in list(node.all_processes.values()):
        for each in processes:
            with suppress(psutil.Error):
                found.append(psutil.Process(each.process.pid))
    return found


def _family(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return [*process.children(recursive=True), process]
    return [process]


def _has_ended(process: psutil.Process) -> bool:
    """Returns whether a killed process is gone; a child is collected, so that none stays defunct.

    `psutil.wait_procs` raises `FileNotFoundError` on some systems for one that has just gone.
    """
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    with suppress(psutil.Error):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
