"""Prints text on the terminal exactly as it is, without wrapping or colouring by accident."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from common.text import redacted


def plain_printer(console: Console) -> Callable[[str], None]:
    """Returns a function that prints one line as it is, so that commands can be copied from it.
    Only secrets are redacted.
    """

    def print_line(text: str) -> None:
        print_exactly(console, redacted(text))

    return print_line


def print_exactly(console: Console, text: str) -> None:
    """Prints one line as it is, with whatever secrets are in it."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def format_parameter(value: object) -> str:
    """Formats a parameter's value: floats with three significant digits, and a dash for a parameter
    that the trial doesn't have.
    """
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


STDERR = 2
"""The file descriptor of standard error is 2."""


@contextmanager
def redirect_stderr(print_line: Callable[[str], object]) -> Iterator[None]:
    """Passes lines that are written to standard error during the block to `print_line`, if standard
    error is a terminal.

    Ray's core writes its errors there from C++, into the middle of whatever is drawn.
    """
    if not os.isatty(STDERR):
        yield
        return
    terminal = os.dup(STDERR)
    reader, writer = os.pipe()
    os.dup2(writer, STDERR)
    os.close(writer)
    thread = threading.Thread(target=_forward_lines, args=(reader, print_line), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(terminal, STDERR)
        os.close(terminal)
        # The thread ends at once unless a process started in the block still holds the pipe.
        thread.join(1.0)


def _forward_lines(reader: int, print_line: Callable[[str], object]) -> None:
    with open(reader, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.strip():
                print_line(line.rstrip())
