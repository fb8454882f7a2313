"""Listens for browsers and serves a run's pages: `results.report --serve`, and for a search.

A search starts this module as a process of its own, so that rendering takes no time from it. That
process inherits the socket, reads the token from its standard input, and ends when that is closed,
which the system does even if the search is killed.
"""

import ipaddress
import os
import socket
import sys
from pathlib import Path
from threading import Thread

from common.cli import Parser
from common.errors import UserError
from results.live.server import PageServer

NICENESS = 10
"""Trainings come first: the process that renders for a search has so much less priority."""


class PageError(UserError):
    """Reports an address at which no page can be served. The message names the remedy."""


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """Returns a socket that listens at an address, at any free port for 0. Raises `PageError` with
    a sentence on the `option` that chooses the port.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise PageError(
            f"{option} must be free at an address of this machine, but {port} at {host} isn't "
            f"({why}); choose another one."
        ) from error


def is_loopback(listening: socket.socket) -> bool:
    """Returns whether only this machine can reach a socket."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


def url_of(listening: socket.socket, token: str | None = None) -> str:
    """Returns the address to open in a browser, which holds the token if there is one."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def serve(directory: Path, listening: socket.socket, token: str | None) -> None:
    """Serves the pages of a run until an exception ends it, and closes the socket then."""
    with PageServer(listening, directory, token) as server:
        server.serve_forever()


def main() -> None:
    """Serves for the search that started this process, until that ends."""
    made = Parser(prog="python -m results.live.serve", description=__doc__)
    made.add_argument("run", type=Path)
    made.add_argument("socket", type=int, help="the number of the inherited socket")
    options = made.parse_args()
    os.nice(NICENESS)
    token = sys.stdin.readline().strip() or None
    listening = socket.socket(fileno=options.socket)
    Thread(target=serve, args=(options.run, listening, token), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
