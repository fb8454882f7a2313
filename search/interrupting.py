"""Ctrl-C: once ends a search with its summary, twice at once."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ONCE = "\nCtrl-C: ending with a summary. Once more leaves at once; no record is lost either way.\n"


@contextmanager
def interruptible() -> Iterator[None]:
    """Meanwhile the first SIGINT has Tune end its loop, or raises `KeyboardInterrupt` where none
    runs. At the second the process is gone, as if killed: Ray's processes end with it.
    """
    pressed = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            os._exit(128 + signal.SIGINT)
        pressed = True
        # Not by print: the signal may come while a line is being printed.
        os.write(sys.stderr.fileno(), ONCE.encode())
        # Tune ends its loop between two of its steps for this signal too, and has no handler for
        # SIGINT here (`search.tuner`): that one would say nothing.
        if callable(signal.getsignal(signal.SIGUSR1)):
            signal.raise_signal(signal.SIGUSR1)
        else:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
