"""Handles Ctrl-C, which ends a search with its summary, and at once when it is pressed again."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPT_NOTE = (
    "Ctrl-C: ending with a summary. Once more leaves at once; no record is lost either way."
)
"""The user reads this after the first Ctrl-C."""


@contextmanager
def handle_interrupts(show: Callable[[str], object]) -> Iterator[None]:
    """Handles SIGINT during the block. The first one has Tune end its loop, or raises
    `KeyboardInterrupt` where none runs. The second one ends the process as if it were killed, and
    Ray's processes end with it.

    show: shows a sentence to the user; it may be called while a line is being printed.
    """
    pressed = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            os.write(sys.stdout.fileno(), b"\n")  # the shell's prompt begins a line of its own
            os._exit(128 + signal.SIGINT)
        pressed = True
        show(INTERRUPT_NOTE)
        # Tune ends its loop between two of its steps for this signal too, and has no handler for
        # SIGINT here (`search.ray_backend.tuner`): its own would show nothing.
        if callable(signal.getsignal(signal.SIGUSR1)):
            signal.raise_signal(signal.SIGUSR1)
        else:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
