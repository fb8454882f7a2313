"""How text reaches the terminal: as it is, never wrapped or coloured by accident."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from common.text import redacted


def plain_printer(console: Console) -> Callable[[str], None]:
    """A function that prints one line as it is, so that commands can be copied from it.

    Secrets alone are left out.
    """

    def say(text: str) -> None:
        console.print(redacted(text), highlight=False, markup=False, soft_wrap=True)

    return say


def format_parameter(value: object) -> str:
    """A parameter's value for people: floats with three digits, a dash where it doesn't count."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


STDERR = 2


@contextmanager
def redirect_stderr(say: Callable[[str], object]) -> Iterator[None]:
    """Meanwhile lines that reach the terminal through standard error go to `say` instead.

    Ray's core writes its errors there from C++, into the middle of whatever is drawn.
    """
    if not os.isatty(STDERR):
        yield
        return
    terminal = os.dup(STDERR)
    reader, writer = os.pipe()
    os.dup2(writer, STDERR)
    os.close(writer)
    thread = threading.Thread(target=_forward_lines, args=(reader, say), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(terminal, STDERR)
        os.close(terminal)
        thread.join(1.0)  # longer only where a process that was started meanwhile may write, too


def _forward_lines(reader: int, say: Callable[[str], object]) -> None:
    with open(reader, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.strip():
                say(line.rstrip())
