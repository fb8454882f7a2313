"""A server of a run's pages for tests, and what it answers."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from results.live.serve import listen
from results.live.server import PageServer


class Site:
    """What a server answers: (status, headers, text), the content as bytes if `raw`."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    def __call__(
        self, path: str, method: str = "GET", *, raw: bool = False, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content if raw else content.decode()


@contextmanager
def served(run: Path, token: str | None = None) -> Iterator[Site]:
    """A server of the run."""
    listening = listen("127.0.0.1", 0)
    server = PageServer(listening, run, token)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Site(listening.getsockname())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
