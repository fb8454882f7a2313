"""Signals that end a command, in processes of their own: once, twice, early, held and swallowed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2"]

HELD = """
import sys, time, psutil, subprocess
from common.signals import code_of, exit_on_signals, handle_signals, has_received, hold
exit_on_signals("ended early.")
if "child" in sys.argv:
    print(subprocess.Popen(["sleep", "100"]).pid, flush=True)
if "early" in sys.argv:
    print("ready", flush=True)
    while True:
        time.sleep(0.05)
try:
    with handle_signals() as signals:
        with hold():
            print("ready", flush=True)
            while not has_received():
                time.sleep(0.01)
            print("received", flush=True)
            time.sleep(100 if "long" in sys.argv else 0)
        signals.check()
except KeyboardInterrupt as interruption:
    print("interrupted", flush=True)
    sys.exit(code_of(interruption))
"""

RAISED = """
import sys, time
from common.signals import code_of, handle_signals

def wait():
    print("ready", flush=True)
    while True:  # a signal that arrives just before one long sleep would not end it
        time.sleep(0.05)

class Noisy:
    def __del__(self):
        if "swallow" in sys.argv:
            wait()

try:
    with handle_signals():
        noisy = Noisy()
        del noisy
        wait()
except KeyboardInterrupt as interruption:
    print("interrupted", flush=True)
    sys.exit(code_of(interruption))
"""


def start(program: str, *words: str) -> "subprocess.Popen[str]":
    """Runs a program in which all signals have their defaults, up to its line «ready»."""
    for each in (signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
    return subprocess.Popen(
        [sys.executable, "-c", program, *words], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def lines_until(process: "subprocess.Popen[str]", last: str) -> list[str]:
    assert process.stdout is not None
    lines = [""]
    while lines[-1] != last:
        lines.append(process.stdout.readline().rstrip("\n"))
        assert process.poll() is None, process.communicate()
    return lines[1:]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("program", [HELD, RAISED])
def test_the_first_one_ends_in_order(name: str, program: str) -> None:
    process = start(program)
    lines_until(process, "ready")
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.Signals[name]
    assert out.splitlines()[-1] == "interrupted"
    shown = "Ctrl-C" if name == "SIGINT" else name
    assert err == f"\n{shown}: ending in order. Once more leaves at once.\n"


@pytest.mark.parametrize("name", SIGNALS)
def test_while_packages_are_imported_it_ends_at_once(name: str) -> None:
    process = start(HELD, "early")
    lines_until(process, "ready")
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.Signals[name]
    assert (out, err) == ("", f"{'Ctrl-C' if name == 'SIGINT' else name}: ended early.\n")


def test_the_second_one_ends_the_process_and_its_children() -> None:
    process = start(HELD, "long", "child")
    child = psutil.Process(int(lines_until(process, "ready")[0]))
    process.send_signal(signal.SIGTERM)
    lines_until(process, "received")
    process.send_signal(signal.SIGINT)  # so soon, it belongs to the first
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGHUP)  # a terminal that closes is no second wish
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_one_that_a_destructor_swallows_is_raised_again() -> None:
    process = start(RAISED, "swallow")
    lines_until(process, "ready")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert out.splitlines()[-1] == "interrupted"
    assert "Exception ignored" not in err


def test_nohup_is_respected() -> None:
    process = subprocess.Popen(
        ["nohup", sys.executable, "-c", RAISED], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    lines_until(process, "ready")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


SHIELDED = """
import subprocess, sys
from common.signals import shield_children
with shield_children():
    child = subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"],
                             stdin=subprocess.PIPE)
print(child.wait(), flush=True)
"""


def test_a_shielded_child_outlives_the_signals_of_its_group() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SHIELDED], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, encoding="utf-8", start_new_session=True,
    )  # fmt: skip
    (child,) = [] if (lines_until(process, "up") == []) else psutil.Process(process.pid).children()
    for name in SIGNALS:
        os.kill(child.pid, signal.Signals[name])
    time.sleep(0.3)
    assert child.is_running()
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    child.kill()
