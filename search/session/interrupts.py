"""Ctrl-C: once ends a search with its summary, twice at once."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPT_NOTE = (
    "Ctrl-C: ending with a summary. Once more leaves at once; no record is lost either way."
)


@contextmanager
def handle_interrupts(tell: Callable[[str], object]) -> Iterator[None]:
    """Meanwhile the first SIGINT has Tune end its loop, or raises `KeyboardInterrupt` where none
    runs. At the second the process is gone, as if killed: Ray's processes end with it.

    tell: says at once what that does; it may be called while a line is being printed.
    """
    pressed = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            os.write(sys.stdout.fileno(), b"\n")  # what comes next begins a line of its own
            os._exit(128 + signal.SIGINT)
        pressed = True
        tell(INTERRUPT_NOTE)
        # Tune ends its loop between two of its steps for this signal too, and has no handler for
        # SIGINT here (`search.ray_backend.tuner`): that one would say nothing.
        if callable(signal.getsignal(signal.SIGUSR1)):
            signal.raise_signal(signal.SIGUSR1)
        else:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
