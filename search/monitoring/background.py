"""Work beside a search, in its order: what goes wrong there leaves the search alone."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from common.text import last_lines

PATIENCE_S = 60.0
"""So long the search's end waits for what is left to do."""


class BackgroundWorker:
    """A thread that does one thing after the other, from `start` on, until `close`.

    `warn` is told of the first that fails; whatever comes after it is left undone.
    """

    def __init__(self, name: str, warn: Callable[[str], object]) -> None:
        self._name, self._warn = name, warn
        self._left: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._broken = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begins with what it has been given, if anything."""
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        """After all that it was given before."""
        self._left.put(work)

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Waits until everything is done, but not for ever."""
        self._left.put(None)
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._warn(f"{self._name} isn't done after {patience_s:g} s: the rest of it is lost.")

    def _work(self) -> None:
        while (work := self._left.get()) is not None:
            try:
                if not self._broken:
                    work()
            except Exception as error:  # of other people's packages and servers
                self._broken = True
                said = last_lines(f"{type(error).__name__}: {error}")
                self._warn(f"{self._name} fails, and the search goes on without it: {said}")
