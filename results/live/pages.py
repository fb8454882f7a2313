"""Renders the pages of a run for its server, no more often than the machine can spare."""

import hashlib
import html
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from common.errors import UserError
from common.text import redacted
from results.live.state import version_of

SHARE = 0.1
"""Rendering takes at most this share of the time: a page that takes 1 s is rendered again 10 s
later, because the processor that renders it is one that trains.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """Holds a page: the `text` of its HTML, the `version` of the files that it shows, and when it
    may be rendered again, in seconds of a clock that nobody sets.
    """

    text: str
    version: str
    again_s: float


class Pages:
    """Holds the pages of one run as they were rendered last.

    render: returns the HTML of the page of a trial, or of the whole run for `None`.
    clock: returns seconds since any fixed moment.
    """

    def __init__(
        self,
        directory: Path,
        render: Callable[[int | None], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory, self._render, self._clock = directory, render, clock
        self._known: dict[int | None, Rendered] = {}
        self._lock = Lock()

    def version(self, trial: int | None) -> str:
        """Returns a short text that changes when there is something new to show: not before a page
        may be rendered again.
        """
        known = self._known.get(trial)
        if known and self._clock() < known.again_s:
            return _digest(known.version)
        return _digest(version_of(self._directory))

    def page(self, trial: int | None) -> str:
        """Returns the HTML of a page, rendered anew if its files have changed and it is time."""
        with self._lock:
            known, now = self._known.get(trial), self._clock()
            if known and (now < known.again_s or known.version == version_of(self._directory)):
                return known.text
            version = version_of(self._directory)
            try:
                text = self._render(trial)
            except UserError as error:
                text = waiting(self._directory.name, redacted(str(error)))
            done = self._clock()
            again = done + (done - now) * (1 / SHARE - 1)
            self._known[trial] = Rendered(text=text, version=version, again_s=again)
            return text


def waiting(name: str, why: str) -> str:
    """Returns a page that says why there is nothing to show yet, and asks again every 2 s."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="refresh" content="2"><meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(name)}</title></head><body style='font-family:system-ui;margin:3em'>"
        f"<h1>{html.escape(name)}</h1><p>{html.escape(why)}</p></body></html>"
    )


def _digest(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest()[:16]
