"""What libraries write to the terminal past Python, brought to where it disturbs no screen."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def gathered(say: Callable[[str], object]) -> Iterator[None]:
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
    thread = threading.Thread(target=_tell, args=(reader, say), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(terminal, STDERR)
        os.close(terminal)
        thread.join(1.0)  # longer only where a process that was started meanwhile may write, too


def _tell(reader: int, say: Callable[[str], object]) -> None:
    with open(reader, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.strip():
                say(line.rstrip())
