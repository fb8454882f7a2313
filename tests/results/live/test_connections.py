"""How long a connection may take, how many there may be, and how much they may send: by sockets."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import active_count

import pytest

from results.live import server
from tests.results.example_search import six
from tests.results.live.served import Site, served

LIMIT_S = 0.5
ASK_PLOTLY = b"GET /plotly.js HTTP/1.0\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server whose limit is half a second."""
    monkeypatch.setattr(server._Handler, "timeout", LIMIT_S)
    with served(six(tmp_path / "run")) as found:
        yield found


def connect(site: Site) -> socket.socket:
    return socket.create_connection(site.address, 20)


def ends_after(connection: socket.socket) -> float:
    """The seconds until the server ends a connection without a word."""
    began = time.monotonic()
    assert connection.recv(100) == b""
    return time.monotonic() - began


def test_browsers_have_half_a_minute() -> None:
    assert server._Handler.timeout == 30


def test_who_sends_nothing_is_hung_up_on(site: Site) -> None:
    with connect(site) as idle:
        assert 0.3 < ends_after(idle) < 10


def test_who_sends_a_byte_now_and_then_is_hung_up_on_too(site: Site) -> None:
    with connect(site) as slow:
        began = time.monotonic()
        assert is_cut_off(slow, b"G", pause_s=0.05)
        assert time.monotonic() - began < 10


def test_who_never_takes_the_answer_is_hung_up_on(site: Site) -> None:
    """The answer is larger than what the system keeps for both ends."""
    before = active_count()
    with ExitStack() as held:
        for _ in range(4):
            idle = held.enter_context(connect(site))
            idle.sendall(ASK_PLOTLY)
        wait_until(lambda: active_count() > before)
        wait_until(lambda: active_count() == before)


def test_a_slow_line_suffices(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is one of each piece, and not of the whole answer."""
    monkeypatch.setattr(server._Handler, "timeout", 1.0)
    with connect(site) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.sendall(ASK_PLOTLY)
        began, length = time.monotonic(), 0
        while data := slow.recv(131072):
            length += len(data)
            time.sleep(0.06)
        assert time.monotonic() - began > 1.5
        assert length > 4_000_000


def test_a_request_of_many_lines_is_cut_off(site: Site) -> None:
    line = b"X: " + b"x" * 8000 + b"\r\n"
    with connect(site) as long:
        long.sendall(b"GET /version HTTP/1.0\r\nHost: localhost\r\n")
        assert is_cut_off(long, line, pause_s=0.01, times=40)
    assert site("/version", X="x" * 8000)[0] == 200


def test_at_most_so_many_are_answered_at_once_and_the_others_wait(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._Handler, "timeout", 3.0)
    before, most = active_count(), 0
    with ExitStack() as held:
        began = time.monotonic()
        for _ in range(server.MOST + 20):
            held.enter_context(connect(site))
            most = max(most, active_count() - before)
        wait_until(lambda: active_count() == before + server.MOST)
        assert site("/version")[0] == 200  # once the idle ones have been hung up on
        assert 2.5 < time.monotonic() - began < 20
    assert most <= server.MOST
    wait_until(lambda: active_count() == before)
    assert [site("/version")[0] for _ in range(2 * server.MOST)] == [200] * 2 * server.MOST


def test_a_browser_that_hangs_up_leaves_no_traceback(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    before = active_count()
    for _ in range(5):
        with connect(site) as hasty:
            hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            hasty.sendall(ASK_PLOTLY)
            hasty.recv(100)
    wait_until(lambda: active_count() == before)
    assert "Traceback" not in capfd.readouterr().err


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def is_cut_off(connection: socket.socket, sent: bytes, *, pause_s: float, times: int = 400) -> bool:
    """Whether the server ends a connection while the same bytes are sent again and again."""
    try:
        for _ in range(times):
            connection.sendall(sent)
            time.sleep(pause_s)
    except ConnectionError:
        return True
    return False
