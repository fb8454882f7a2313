"""Runs work in a thread beside the search, one task after another; a failure there doesn't affect
the search.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from common.text import last_lines

PATIENCE_S = 60.0
"""At its end, the search waits up to this many seconds for the remaining work."""


class BackgroundWorker:
    """A thread that does one thing after the other, from `start` on, until `close`.

    The first task that fails is reported to `warn`, and the tasks after it are skipped.
    """

    def __init__(self, name: str, warn: Callable[[str], object]) -> None:
        self._name, self._warn = name, warn
        self._left: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._broken = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Starts the thread, which begins with the tasks that were added before."""
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        """Adds a task, which runs after all tasks added before."""
        self._left.put(work)

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Waits until all tasks are done, for at most `patience_s` seconds, and warns where some
        are left.
        """
        self._left.put(None)
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._warn(f"{self._name} isn't done after {patience_s:g} s: the rest of it is lost.")

    def _work(self) -> None:
        while (work := self._left.get()) is not None:
            try:
                if not self._broken:
                    work()
            except Exception as error:  # other packages and servers can raise anything
                self._broken = True
                reason = last_lines(f"{type(error).__name__}: {error}")
                self._warn(f"{self._name} fails, and the search goes on without it: {reason}")
