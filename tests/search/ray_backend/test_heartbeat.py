"""Processes that end, stop or don't answer, and who ends the session then: all processes real."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from search.ray_backend import heartbeat as module
from search.ray_backend.heartbeat import (
    SILENT_BEATS,
    STOPPED_BEATS,
    Heartbeat,
    Liveness,
    RayDied,
)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that sleeps."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Beats of 20 ms, and a main thread that has 0.3 s to leave."""
    monkeypatch.setattr(module, "BEAT_S", 0.02)
    monkeypatch.setattr(module, "WAKE_S", 0.3)
    before = signal.getsignal(signal.SIGURG)
    yield
    signal.signal(signal.SIGURG, before)


def liveness_of(process: subprocess.Popen[bytes], alive: bool = True) -> Liveness:
    """Signs of one process; the GCS answers that its raylet is `alive`."""
    return Liveness({"raylet": psutil.Process(process.pid)}, lambda: alive)


def wait_for_state(process: subprocess.Popen[bytes], state: str) -> None:
    """Waits until the system says so of a process."""
    end = time.monotonic() + 30
    while psutil.Process(process.pid).status() != state:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_process_that_was_killed_counts_as_dead_at_once_and_before_it_is_collected(child):
    liveness = liveness_of(child)
    assert liveness.dead() is None
    child.kill()
    wait_for_state(child, psutil.STATUS_ZOMBIE)
    assert liveness.dead() == "its raylet has ended" == liveness.beat()
    child.wait()
    assert liveness.dead() == "its raylet has ended"
    liveness.close()


def test_a_stopped_process_counts_as_dead_after_some_beats_in_a_row(child):
    liveness = liveness_of(child)
    for _ in range(2):
        child.send_signal(signal.SIGSTOP)
        wait_for_state(child, psutil.STATUS_STOPPED)
        assert [liveness.beat() for _ in range(STOPPED_BEATS - 1)] == [None] * (STOPPED_BEATS - 1)
        child.send_signal(signal.SIGCONT)
        wait_for_state(child, psutil.STATUS_SLEEPING)
        assert liveness.beat() is None
    child.send_signal(signal.SIGSTOP)
    wait_for_state(child, psutil.STATUS_STOPPED)
    assert [liveness.beat() for _ in range(STOPPED_BEATS)][-1] == "its raylet was stopped"
    liveness.close()


@pytest.mark.parametrize("answer", ["none", "an error"])
def test_a_silent_gcs_counts_as_dead_after_some_beats(answer):
    def ask() -> bool:
        if answer == "none":
            time.sleep(60)
        raise RuntimeError("UNAVAILABLE")

    liveness = Liveness({}, ask)
    told = [liveness.beat() for _ in range(SILENT_BEATS)]
    assert told[:-1] == [None] * (SILENT_BEATS - 1)
    assert told[-1] is not None
    assert "its GCS hasn't answered for" in told[-1]


def test_a_gcs_that_answers_now_and_then_is_alive():
    answers = threading.Semaphore(0)
    liveness = Liveness({}, lambda: answers.acquire(timeout=60))
    for _ in range(3):
        assert [liveness.beat() for _ in range(SILENT_BEATS - 2)] == [None] * (SILENT_BEATS - 2)
        answers.release()
        time.sleep(0.3)
    answers.release()
    liveness.close()


def test_a_raylet_that_the_gcs_has_given_up_is_lost(child):
    liveness = liveness_of(child, alive=False)
    time.sleep(0.3)
    assert liveness.beat() == "its raylet on this machine is lost"
    liveness.close()


def test_the_main_thread_that_looks_ends_the_session_itself(child):
    killed, taken = [], []
    beats = Heartbeat(lambda: killed.append(1), taken.append)
    beats.check()
    beats.start(liveness_of(child))
    beats.check()
    child.kill()
    wait_for_state(child, psutil.STATUS_ZOMBIE)
    with pytest.raises(RayDied, match="its raylet has ended"):
        beats.check()
    beats.leave()
    time.sleep(1.5)
    assert (killed, taken) == ([1], [])
    beats.close()


def test_a_main_thread_that_waits_is_woken_by_a_signal(child):
    beats = Heartbeat(lambda: None, lambda reason: os._exit(9))
    beats.start(liveness_of(child))
    child.kill()
    began = time.monotonic()
    with pytest.raises(RayDied):
        threading.Event().wait(60)
    assert time.monotonic() - began < 20
    beats.leave()
    beats.close()


def test_a_stuck_main_thread_is_passed_over(child):
    """It ignores the signal, as Ray's C++ code does."""
    taken = threading.Event()
    reasons = []

    def take_over(reason: str) -> None:
        reasons.append(reason)
        taken.set()
        time.sleep(60)

    beats = Heartbeat(lambda: None, take_over)
    beats.start(liveness_of(child))
    signal.signal(signal.SIGURG, signal.SIG_IGN)
    child.kill()
    assert taken.wait(30)
    assert reasons == ["its raylet has ended"]
    late = threading.Thread(target=beats.leave, daemon=True)
    late.start()
    late.join(0.5)
    assert late.is_alive(), "the main thread would end the session a second time"


def test_the_session_ends_only_once_the_rest_of_ray_is_killed(child):
    killed = []

    def kill() -> None:
        time.sleep(0.5)
        killed.append(1)

    beats = Heartbeat(kill, lambda reason: os._exit(9))
    beats.start(liveness_of(child))
    beats.report("trial-0003 has waited 10m for a worker")
    beats.leave()
    assert killed == [1]
    beats.close()


def test_what_else_shows_that_ray_is_dead_counts_too_and_nothing_after_the_end(child):
    beats = Heartbeat(lambda: None, lambda reason: None)
    beats.report("trial-0003 has waited 10m for a worker")
    with pytest.raises(RayDied, match="has waited 10m"):
        beats.check()
    ended = Heartbeat(lambda: None, lambda reason: os._exit(9))
    ended.start(liveness_of(child))
    ended.close()
    child.kill()
    time.sleep(0.5)
    ended.report("too late")
    assert ended.reason is None


def test_a_ray_that_never_starts_ends_the_process_with_a_sentence() -> None:
    """The process holds Python's lock, as Ray does, so that none of its threads runs."""
    code = (
        "import ctypes; from search.ray_backend.heartbeat import limit_start\n"
        "with limit_start(60.0):\n    print('started', flush=True)\n"
        "with limit_start(0.2):\n    ctypes.PyDLL(None).sleep(60)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=30)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "started\n")
    assert done.stderr.startswith("error: Ray hasn't started within 0 s")
