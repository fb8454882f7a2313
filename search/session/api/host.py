"""Runs a search inside of a program or a notebook, and leaves that process as it was."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

from common.errors import SearchError
from search.preflight import ROOT


class _Nowhere(StringIO):
    """Drops what is written to it."""

    def write(self, text: str) -> int:
        """Returns the number of characters, none of which is kept."""
        return len(text)


def check_host() -> None:
    """Raises `SearchError` with a sentence for each reason why this process can't run a search."""
    errors = []
    if threading.current_thread() is not threading.main_thread():
        errors.append(
            "A search must run in the main thread of its process, which gets the signals, but this "
            f"is the thread {threading.current_thread().name!r}; call it there, or start "
            "`python -m search.run` as a process of its own."
        )
    ray = sys.modules.get("ray")
    if ray is not None and getattr(ray, "is_initialized", bool)():
        errors.append(
            "A search must start Ray itself, but this process uses one already; call "
            "ray.shutdown() first."
        )
    if errors:
        raise SearchError(errors)


@contextmanager
def in_host(*, silent: bool) -> Iterator[None]:
    """Restores, after the block, what a search changes of this process: environment variables,
    import path, main module and signal handlers. In the block, its processes import our packages
    first, and none runs the program's main module again, as Python's way to start one would.

    silent: whether nothing is printed in the block, by whatever thread.
    """
    environment, path = dict(os.environ), list(sys.path)
    handlers = {each: signal.getsignal(each) for each in signal.valid_signals()}
    main: Any = sys.modules["__main__"]
    hidden = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    with ExitStack() as stack:
        if silent:
            stack.enter_context(redirect_stdout(_Nowhere()))
            stack.enter_context(redirect_stderr(_Nowhere()))
        sys.path.insert(0, str(ROOT))
        main.__dict__.pop("__file__", None)
        main.__spec__ = None
        try:
            yield
        finally:
            vars(main).update(hidden)
            sys.path[:] = path
            for each, handler in handlers.items():
                if handler not in (None, signal.getsignal(each)):
                    signal.signal(each, handler)
            os.environ.clear()
            os.environ.update(environment)


def print_as_before(function: Callable[..., object] | None) -> Callable[..., object] | None:
    """Returns a function that prints to the present outputs, whatever replaces them later."""
    if function is None:
        return None
    output, errors = sys.stdout, sys.stderr

    def call(*args: object) -> object:
        with redirect_stdout(output), redirect_stderr(errors):
            return function(*args)

    return call


def send_again(number: int) -> None:
    """Sends this process a signal that a search has answered in order, so that it also does what it
    does without a search. Ctrl-C isn't sent, because it becomes a `KeyboardInterrupt`.
    """
    if number != signal.SIGINT:
        os.kill(os.getpid(), number)
