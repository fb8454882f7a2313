"""Serves a run's pages over HTTP, on this machine unless told otherwise, to whom may see them.

    /            the run's page, as `results.report` writes it, which updates itself
    /trial/7     everything about one trial
    /version     JSON: whether there is something new, and whether the search is running
    /plotly.js   the library that draws the figures, so that no request leaves the machine

Only GET and HEAD are answered, and nothing that is asked for is looked up on the disk.
"""

import gzip
import ipaddress
import json
import re
import socket
import sys
from collections.abc import Callable
from functools import cache, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import parse_qs, urlsplit

from common.files import is_locked
from results.live.access import Access
from results.live.incoming import Incoming
from results.live.pages import Pages, pack

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""A browser lets the pages ask nobody but their server, whatever the texts of a run contain, and
shows them in no other site.
"""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Every answer has these headers."""

MOST = 64
"""So many connections are answered at once. Others wait until one of these ends."""

PIECE = 65536
"""A browser may take the time limit for each so many bytes of an answer: a slow line suffices."""


class PageServer(ThreadingHTTPServer):
    """Serves the pages of the run in `directory` on a socket that listens already.

    token: what a browser has to send, or `None` where everyone who reaches the server may look,
        which must be this machine alone.
    """

    daemon_threads = True

    def __init__(
        self,
        listening: socket.socket,
        directory: Path,
        token: str | None,
        render: Callable[[Path, int | None], str] | None = None,
    ) -> None:
        host, port = listening.getsockname()[:2]
        self.access = Access(token, port, alone=ipaddress.ip_address(host).is_loopback)
        super().__init__((host, port), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.directory = directory
        self.pages = Pages(directory, partial(render or render_page, directory))
        self._places = BoundedSemaphore(MOST)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts a connection once there is place for one. Raises `OSError` where there is none
        for a moment, so that the server is asked in between whether it shall end.
        """
        if not self._places.acquire(timeout=0.2):
            raise BlockingIOError("all places are taken")
        try:
            return super().get_request()
        except OSError:
            self._places.release()
            raise

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection, of which there is one less then."""
        try:
            super().shutdown_request(request)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints what went wrong, unless the browser has only hung up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = 30
    """Within so many seconds a request has to arrive, and each piece of an answer to be taken."""

    server_version, sys_version = "run-page", ""

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = BufferedReader(Incoming(self.connection, self.timeout))

    def do_GET(self) -> None:
        """Answers a request, after checking who sends it."""
        if not self.server.access.is_own_name(self.headers.get("Host", "")):
            return self._say(HTTPStatus.FORBIDDEN, "Ask for localhost.")
        try:
            asked = urlsplit(self.path)
            query = parse_qs(asked.query, keep_blank_values=True)
        except ValueError:
            return self._say(HTTPStatus.BAD_REQUEST, "This is no address of a page.")
        sent = (self.headers.get(each, "") for each in ("Authorization", "Cookie"))
        if not self.server.access.may_look(query.get("token", []), *sent):
            words = "This page needs a token: open the address that was printed, with ?token=…"
            return self._say(HTTPStatus.UNAUTHORIZED, words)
        if "token" in query:  # it must not stay in the address, and in histories
            return self._send_cookie(asked.path)
        return self._answer(asked.path, query)

    do_HEAD = do_GET  # noqa: N815  # the base class's name

    def _answer(self, path: str, query: dict[str, list[str]]) -> None:
        if path == "/":
            return self._send_page(None)
        if path == "/version":
            return self._send_version(query.get("trial", [""])[0])
        if path == "/plotly.js":
            return self._send(HTTPStatus.OK, _plotly(), "text/javascript", keep=True)
        if (trial := _trial_of(path)) is not None:
            return self._send_page(trial)
        return self._say(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _send_page(self, trial: int | None) -> None:
        page = self.server.pages.page(trial)
        self._send(HTTPStatus.OK if page.found else HTTPStatus.NOT_FOUND, page.packed, "text/html")

    def _send_version(self, trial: str) -> None:
        state = {
            "version": self.server.pages.version(_trial_of(f"/trial/{trial}")),
            "searching": is_locked(self.server.directory),
        }
        self._send(HTTPStatus.OK, pack(json.dumps(state)), "application/json")

    def _send_cookie(self, path: str) -> None:
        """Leads the browser to the page that it asked for, and nowhere else."""
        place = path if _trial_of(path) is not None else "/"
        more = {"Location": place, "Set-Cookie": self.server.access.cookie()}
        self._send(HTTPStatus.SEE_OTHER, pack(""), "text/plain", more=more)

    def _say(self, status: HTTPStatus, words: str) -> None:
        self._send(status, pack(f"{words}\n"), "text/plain")

    def _send(
        self,
        status: HTTPStatus,
        packed: bytes,
        kind: str,
        *,
        keep: bool = False,
        more: dict[str, str] | None = None,
    ) -> None:
        """Sends what gzip has packed, unpacked to the few who want it so."""
        self.connection.settimeout(self.timeout)
        self.send_response(status)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            content = packed
            self.send_header("Content-Encoding", "gzip")
        else:
            content = gzip.decompress(packed)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Vary", "Accept-Encoding")
        self.send_header("Cache-Control", "private, max-age=86400" if keep else "no-store")
        for name, value in (HEADERS | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            for start in range(0, len(content), PIECE):
                self.wfile.write(content[start : start + PIECE])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Prints nothing about requests: standard error belongs to the search."""


def _trial_of(path: str) -> int | None:
    """Returns the number of the trial whose page has a path, or `None` for any other path."""
    found = re.fullmatch(r"/trial/([0-9]{1,9})", path)
    return int(found[1]) if found else None


def render_page(directory: Path, trial: int | None) -> str:
    """Returns the HTML of a live page. Raises `RunError` and `RecordError`."""
    if trial is None:
        from results.page.report_page import page

        return page(directory, live=True)
    from results.live.trial_page import trial_page

    return trial_page(directory, trial)


@cache
def _plotly() -> bytes:
    from plotly.offline import get_plotlyjs

    return pack(get_plotlyjs())
