"""Handles the signals that end a command: in order at the first one, and at once at the second one.

A command starts with `exit_on_signals`, while it imports packages; its work runs in
`handle_signals`.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

ENDING = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGXCPU,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""These signals end a command: Ctrl-C, the end of a job, a closed terminal, the end of its CPU
time, and the two that a job scheduler can be asked to send as a warning.
"""

SETTLE_S = 0.3
"""Signals so close to the first one belong to it: a shell sends two when its terminal closes, and
`timeout` sends two to its command.
"""


class Interruption(KeyboardInterrupt):
    """Ends a command that got a signal; `code` is the command's exit code, as in a shell."""

    def __init__(self, number: int) -> None:
        super().__init__(f"{name_of(number)} arrived")
        self.code = 128 + number


def code_of(error: KeyboardInterrupt) -> int:
    """Returns the exit code of a command that an interruption has ended."""
    return error.code if isinstance(error, Interruption) else 128 + signal.SIGINT


def name_of(number: int) -> str:
    """Returns the name of a signal for people."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def leave(code: int) -> None:
    """Ends this process at once with an exit code, and the processes that it has started."""
    with suppress(OSError):
        os.write(1, b"\n" if os.isatty(1) else b"")  # the prompt begins a line of its own
    if "psutil" in sys.modules:  # what starts processes has imported it
        import psutil

        for each in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                each.kill()
    os._exit(code)


class EndingSignals:
    """Handles the signals of one command; `handle_signals` makes an object and installs it."""

    def __init__(self, show: Callable[[str], object], leave: Callable[[int], object]) -> None:
        self.received: int | None = None
        """The number of the first signal, or `None`."""
        self._show, self._leave, self._at = show, leave, 0.0
        self._holds: list[Callable[[], object]] = []

    def exit_code(self) -> int | None:
        """Returns 128 + the number of the first signal, or `None` where there was none."""
        return None if self.received is None else 128 + self.received

    def check(self) -> None:
        """Raises `Interruption` if a signal arrived, for example while `hold` put it off."""
        if self.received is not None:
            raise Interruption(self.received)

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Answers a signal in the main thread: raises `Interruption` at the first one, unless it
        is held, and ends the process at the second one. A closed terminal ends it once.
        """
        if self.received is not None:
            if number != signal.SIGHUP and time.monotonic() - self._at > SETTLE_S:
                self._leave(128 + number)
            return
        self.received, self._at = number, time.monotonic()
        self._show(name_of(number))
        for call in self._holds:
            call()
        if not self._holds:
            raise Interruption(number)

    def raise_again(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Raises an `Interruption` anew that Python has swallowed because it arrived in a
        destructor or a callback; other errors are shown as usual.
        """
        if not isinstance(unraisable.exc_value, Interruption):
            sys.__unraisablehook__(unraisable)
        elif not self._holds:
            signal.signal(signal.SIGALRM, lambda *_: self.check())
            signal.setitimer(signal.ITIMER_REAL, 0.01)


_current: EndingSignals | None = None
"""The handler that is installed in this process, if there is one."""


def show_ending(name: str) -> None:
    """Writes to standard error that the command ends because of this signal."""
    with suppress(OSError):  # the terminal may be closed
        os.write(2, f"\n{name}: ending in order. Once more leaves at once.\n".encode())


@contextmanager
def handle_signals(
    show: Callable[[str], object] = show_ending, leave: Callable[[int], object] = leave
) -> Iterator[EndingSignals]:
    """Handles the signals in `ENDING` during the block: the first one raises `Interruption`, and
    the second one ends the process and all processes that it has started.

    A signal that was ignored stays so, as SIGHUP under `nohup`; Ctrl-C is always handled. Python
    allows this in the main thread only; in another one nothing is handled.

    show: is called with the name of the first signal, possibly while a line is being printed.
    leave: is called with the exit code at the second one, in place of ending the process.
    """
    global _current
    signals, before = EndingSignals(show, leave), _current
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    handlers = {each: signal.getsignal(each) for each in ENDING}
    hook = sys.unraisablehook
    for each, handler in handlers.items():
        if handler is not signal.SIG_IGN or each == signal.SIGINT:
            signal.signal(each, signals.handle)
    _current, sys.unraisablehook = signals, signals.raise_again
    try:
        yield signals
    finally:
        _current, sys.unraisablehook = before, hook
        for each, handler in handlers.items():
            signal.signal(each, handler)


@contextmanager
def hold(call: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Puts the first signal off during the block, at whose end nothing is raised: the caller asks
    `EndingSignals.check`, or does what is left. A second signal ends the process even here.

    call: is called at once when the first signal arrives, or at the start if it has arrived.
    """
    signals = _current
    if signals is None:
        yield
        return
    signals._holds.append(call)
    try:
        if signals.received is not None:
            call()
        yield
    finally:
        signals._holds.pop()


def has_received() -> bool:
    """Returns whether a signal has arrived that ends the command, for work in a `hold`."""
    return _current is not None and _current.received is not None


def raise_received() -> None:
    """Raises `Interruption` if a signal arrived while `hold` put it off."""
    if _current:
        _current.check()


def exit_on_signals(sentence: str) -> None:
    """Makes each signal in `ENDING` end this process at once with a sentence, until
    `handle_signals` takes over. Only the first lines of a command call this.

    Imports can't be interrupted in order: an error in the middle of one is swallowed or becomes
    another error.
    """

    def leave_with_sentence(number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):
            os.write(2, f"{name_of(number)}: {sentence}\n".encode())
        leave(128 + number)

    for each in ENDING:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, leave_with_sentence)


def end_process(code: int) -> NoReturn:
    """Ends this process, whose work is done and written, with an exit code; a signal comes too late
    now.

    An orderly exit would only add most of a second, in which Python frees its memory.
    """
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def install_again() -> None:
    """Installs the handlers of this process again, where a package's C++ code has replaced them."""
    for each in ENDING:
        signal.signal(each, signal.getsignal(each))


@contextmanager
def shield_children() -> Iterator[None]:
    """Blocks the signals in `ENDING` for processes that the block starts, which inherit this.

    A terminal or a job scheduler sends its signals to all processes of a command, and only the
    first of them should answer. This process gets the signals after the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def follow_parent() -> None:
    """Starts a thread that ends this process when its parent dies, because processes of a pool
    outlive a parent that was killed.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
