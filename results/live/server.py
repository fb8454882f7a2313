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
import secrets
import socket
from collections.abc import Callable
from functools import cache, partial
from http import HTTPStatus
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from results.live.pages import Pages
from results.live.state import is_searched

COOKIE = "run-page"
"""A browser keeps the token under this name."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'"
)
"""A browser lets the pages ask nobody but their server, whatever the texts of a run contain."""

_LOCAL = ("localhost", "127.0.0.1", "::1")


class PageServer(ThreadingHTTPServer):
    """Serves the pages of the run in `directory` on a socket that listens already.

    token: what a browser has to send, or `None` where everyone who reaches the server may look.
    """

    daemon_threads = True

    def __init__(
        self,
        listening: socket.socket,
        directory: Path,
        token: str | None,
        render: Callable[[Path, int | None], str] | None = None,
    ) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.directory, self.token = directory, token
        self.pages = Pages(directory, partial(render or render_page, directory))
        self.alone = ipaddress.ip_address(listening.getsockname()[0]).is_loopback


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        """Answers a request, after checking who sends it."""
        asked = urlsplit(self.path)
        if not self._is_own_name():
            return self._send(HTTPStatus.FORBIDDEN, "Ask for localhost.\n", "text/plain")
        if self.server.token is not None and not self._may_look(parse_qs(asked.query)):
            words = "This page needs the token that the search has printed: /?token=…\n"
            return self._send(HTTPStatus.UNAUTHORIZED, words, "text/plain")
        if "token" in parse_qs(asked.query):  # it must not stay in the address, and in histories
            return self._send_cookie(asked.path)
        return self._answer(asked.path, parse_qs(asked.query))

    do_HEAD = do_GET  # noqa: N815  # the base class's name

    def _answer(self, path: str, query: dict[str, list[str]]) -> None:
        if path == "/":
            return self._send(HTTPStatus.OK, self.server.pages.page(None), "text/html")
        if path == "/version":
            return self._send_version(query.get("trial", [""])[0])
        if path == "/plotly.js":
            return self._send(HTTPStatus.OK, _plotly(), "text/javascript", keep=True)
        _, _, number = path.partition("/trial/")
        if number.isdecimal() and len(number) < 10:
            return self._send(HTTPStatus.OK, self.server.pages.page(int(number)), "text/html")
        return self._send(HTTPStatus.NOT_FOUND, "There is no such page.\n", "text/plain")

    def _send_version(self, trial: str) -> None:
        number = int(trial) if trial.isdecimal() and len(trial) < 10 else None
        state = {
            "version": self.server.pages.version(number),
            "searching": is_searched(self.server.directory),
        }
        self._send(HTTPStatus.OK, json.dumps(state), "application/json")

    def _is_own_name(self) -> bool:
        """Returns whether the browser asks for this machine by its own name. A foreign name that
        leads here would make a foreign site's script the owner of the page.
        """
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return not self.server.alone or host in _LOCAL

    def _may_look(self, query: dict[str, list[str]]) -> bool:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        sent = [*query.get("token", []), bearer, *([cookie.value] if cookie else [])]
        token = (self.server.token or "").encode()
        return any(secrets.compare_digest(each.encode(), token) for each in sent)

    def _send_cookie(self, path: str) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", path.replace("//", "/"))
        if self.server.token is not None:
            value = f"{COOKIE}={self.server.token}; Path=/; HttpOnly; SameSite=Strict"
            self.send_header("Set-Cookie", value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, status: HTTPStatus, text: str, kind: str, *, keep: bool = False) -> None:
        content = text.encode()
        self.send_response(status)
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(content) > 1000:
            content = gzip.compress(content, compresslevel=5, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "private, max-age=86400" if keep else "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Prints nothing about requests: standard error belongs to the search."""


def render_page(directory: Path, trial: int | None) -> str:
    """Returns the HTML of a live page. Raises `RunError` and `RecordError`."""
    if trial is None:
        from results.page.report_page import page

        return page(directory, live=True)
    from results.live.trial_page import trial_page

    return trial_page(directory, trial)


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
