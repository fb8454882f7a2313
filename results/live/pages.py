"""Renders the pages of a run for its server, no more often than the machine can spare."""

import gzip
import hashlib
import html
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from common.errors import UserError
from common.text import redacted
from results.live.state import version_of
from results.store import RunError

SHARE = 0.1
"""Rendering takes at most this share of the time, all pages together: the processor that renders is
one that trains. After a second of rendering, ten pass before a page is rendered again.
"""

AHEAD_S = 10.0
"""So much time of rendering may be spent before it has been earned, on each page once: a page that
is opened comes at once, and of several open ones none has to wait for the others.
"""

MOST = 32
"""So many pages are remembered, those that were asked for last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Holds a page: its HTML as gzip packs it, a short text in place of the `version` of the files
    that it shows, when it was rendered, in seconds of a clock that nobody sets, and whether there
    is such a page at all.
    """

    packed: bytes
    version: str = ""
    rendered_s: float = -math.inf
    found: bool = True


class Pages:
    """Holds the pages of one run as they were rendered last.

    Time is divided into rounds. A round begins when what was rendered before has become `SHARE` of
    the time; in it, each page is rendered once at most, while less than `AHEAD_S` is owed.

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
        self._known: OrderedDict[int | None, Page] = OrderedDict()
        self._again_s = self._round_s = -math.inf
        self._lock, self._rendering = Lock(), Lock()

    def version(self, trial: int | None) -> str | None:
        """Returns a short text that changes when there is something new to show: not before a page
        may be rendered again. Returns `None` where nothing is known about a page until then.
        """
        with self._lock:
            known = self._recall(trial)
            if not self._may_render(known):
                return known.version if known else None
        return _digest(version_of(self._directory, trial))

    def page(self, trial: int | None) -> Page:
        """Returns a page, rendered anew if its files have changed and it is time."""
        if page := self._rendered(trial):
            return page
        with self._rendering:
            # Another browser may have waited for the same page, or for one that took long.
            return self._rendered(trial) or self._render_anew(trial)

    def _rendered(self, trial: int | None) -> Page | None:
        """Returns the page that is to be sent as it is, or `None` where one must be rendered."""
        with self._lock:
            known = self._recall(trial)
            if self._may_render(known):
                new = known is None or known.version != _digest(version_of(self._directory, trial))
                return None if new else known
            seconds = math.ceil(self._again_s - self._clock())
        name = self._directory.name
        why = f"Trainings come first: this page comes in about {seconds} s."
        return known or Page(packed=pack(message(name, why)))

    def _recall(self, trial: int | None) -> Page | None:
        if trial in self._known:
            self._known.move_to_end(trial)
        return self._known.get(trial)

    def _may_render(self, known: Page | None) -> bool:
        now = self._clock()
        if now >= self._again_s:
            return True
        once = known is None or known.rendered_s < self._round_s
        return once and (self._again_s - now) * SHARE < AHEAD_S

    def _render_anew(self, trial: int | None) -> Page:
        version, began, found = _digest(version_of(self._directory, trial)), self._clock(), True
        try:
            # The page asks for what is newer than itself, however long the browser takes to load.
            body = f'<body data-version="{version}"'
            packed = pack(self._render(trial).replace("<body", body, 1))
        except (UserError, OSError) as error:
            found = trial is None or not isinstance(error, RunError)
            why = redacted(str(error))
            packed = pack(message(self._directory.name, why, again=found))
        finally:
            self._account(began)
        page = Page(packed=packed, version=version, rendered_s=began, found=found)
        if found:
            with self._lock:
                self._known[trial] = page
                self._known.move_to_end(trial)
                while len(self._known) > MOST:
                    self._known.popitem(last=False)
        return page

    def _account(self, began: float) -> None:
        """Adds what has been rendered since a moment to what is owed."""
        with self._lock:
            if began >= self._again_s:
                self._round_s = self._again_s = began
            self._again_s += (self._clock() - began) / SHARE


def message(name: str, why: str, *, again: bool = True) -> str:
    """Returns a page that says why there is nothing to show, and asks `again` every 2 s."""
    refresh = '<meta http-equiv="refresh" content="2">' if again else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(name)}</title></head><body style='font-family:system-ui;margin:3em'>"
        f"<h1>{html.escape(name)}</h1><p>{html.escape(why)}</p></body></html>"
    )


def pack(text: str) -> bytes:
    """Returns a text as gzip packs it in UTF-8."""
    return gzip.compress(text.encode(), compresslevel=5, mtime=0)


def _digest(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest()[:16]
