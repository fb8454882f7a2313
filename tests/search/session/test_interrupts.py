"""Ctrl-C once and twice, in a process of its own that catches what Tune catches."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# As Tune does it: SIGUSR1 sets an event, and the loop ends with its step.
LOOP = """
import signal, sys, time
from search.session.interrupts import handle_interrupts
ended = []
# Python's own, also where whoever runs the tests in the background has SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
if "tune" in sys.argv:
    signal.signal(signal.SIGUSR1, lambda *_: ended.append(True))
with handle_interrupts(lambda said: print(said, file=sys.stderr, flush=True)):
    try:
        print("ready", flush=True)
        while not ended:
            time.sleep(0.01)
        print("ended", flush=True)
        while "slow" in sys.argv:
            time.sleep(0.01)
    except KeyboardInterrupt:
        print("KeyboardInterrupt", flush=True)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


@pytest.mark.parametrize(
    ("words", "presses", "said", "code"),
    [
        (["tune"], 1, "ended", 0),
        ([], 1, "KeyboardInterrupt", 0),
        (["tune", "slow"], 2, "ended", 130),
    ],
)
def test_once_ends_the_loop_and_twice_the_process(words, presses, said, code):
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert process.stdout is not None
    for waited_for in ("ready", said)[:presses]:
        assert process.stdout.readline() == waited_for + "\n"
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == ("\n" if presses == 2 else f"{said}\n")
    assert "Ctrl-C: ending with a summary. Once more leaves at once" in err
