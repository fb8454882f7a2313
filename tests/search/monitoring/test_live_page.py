"""The page of a running search: its process, its address, its token."""

import http.client
from pathlib import Path

import psutil
import pytest

from results.live.serve import PageError, listen
from search.monitoring.live_page import LivePage, reserve_page
from tests.results.example_search import six

ROOT = Path(__file__).parents[3]


def test_a_page_is_served_until_the_block_ends(tmp_path: Path) -> None:
    listening = reserve_page("127.0.0.1", "auto")
    assert listening is not None
    address = listening.getsockname()
    with LivePage(six(tmp_path / "run"), listening, root=ROOT, token="unused") as page:
        listening.close()
        assert page.address == f"http://127.0.0.1:{address[1]}/"
        assert not page.needs_token
        connection = http.client.HTTPConnection(*address, timeout=60)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert "Trial 2 reaches 55.0 %" in answer.read().decode()
        (server,) = (
            each for each in psutil.Process().children() if "results.live.serve" in each.cmdline()
        )
        assert server.nice() >= 10
    assert not server.is_running()


def test_others_need_the_token(tmp_path: Path) -> None:
    listening = reserve_page("0.0.0.0", "auto")
    assert listening is not None
    with listening, LivePage(tmp_path, listening, root=ROOT, token="t0ken") as page:
        assert page.needs_token
        assert "t0ken" not in page.address
        for token, status in (("wrong", 401), ("t0ken", 303)):
            port = listening.getsockname()[1]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", f"/?token={token}")
            assert connection.getresponse().status == status
        (server,) = (
            each for each in psutil.Process().children() if "results.live.serve" in each.cmdline()
        )
        assert "t0ken" not in " ".join(server.cmdline())
        assert "t0ken" not in server.environ().values()


def test_a_port_is_reserved_as_the_option_says() -> None:
    assert reserve_page("127.0.0.1", "0") is None
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PageError, match="--page-port must be free"):
            reserve_page("127.0.0.1", str(port))
    free = reserve_page("127.0.0.1", str(port))
    assert free is not None
    with free:
        assert free.getsockname()[1] == port
