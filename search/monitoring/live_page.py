"""Starts the server of a search's page: a process of its own, which ends with the search."""

import secrets
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

from results.live.serve import is_loopback, listen, url_of


def reserve_page(host: str, port: str) -> socket.socket | None:
    """Returns a socket on which a search's page can be served, or `None` where `port` is 0 and none
    is wanted; `auto` stands for any free port. Raises `PageError` for an address that isn't free.
    """
    if port != "auto" and int(port) == 0:
        return None
    return listen(host, 0 if port == "auto" else int(port), "--page-port")


class LivePage:
    """Serves the page of the run in `directory`, which need not exist yet, on a listening socket
    until the block ends. The owner of the socket may close it meanwhile.

    root: the folder of the project, where the server starts.
    token: what a page asks for that others than this machine can reach. For `None` the page makes a
        token of its own, which is in `address`; a given one opens more than the page, and isn't.
    """

    def __init__(
        self, directory: Path, listening: socket.socket, *, root: Path, token: str | None
    ) -> None:
        private = is_loopback(listening)
        own = None if private or token else secrets.token_urlsafe()
        self.address = url_of(listening, own)
        self.needs_token = not private and own is None
        """Tells whether `?token=` has to be appended to the address."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "results.live.serve", str(directory.absolute()),
             str(listening.fileno())],
            cwd=root, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[listening.fileno()], start_new_session=True, encoding="utf-8",
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write("\n" if private else f"{own or token}\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the server, whatever it is sending."""
        self._process.kill()
        self._process.communicate()
