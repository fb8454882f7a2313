"""The dashboard's port: searches that start in the same second don't take each other's."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.tuner import ClusterError, Dashboard, reserve_port

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
AUTO = Dashboard(host=HOST, port="auto")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something else listens on."""
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        yield other.getsockname()[1]


def test_what_one_search_reserved_no_other_gets() -> None:
    with reserve_port(AUTO) as first, reserve_port(AUTO) as second:
        assert first.getsockname()[1] < second.getsockname()[1]
        both = {first.getsockname(), second.getsockname()}
    with reserve_port(AUTO) as third:
        assert third.getsockname() in both


def test_a_server_listens_beside_the_reservation_and_keeps_the_port() -> None:
    """As the dashboard's does, by asyncio."""

    async def serve() -> None:
        with reserve_port(AUTO) as reserved:
            host, port = reserved.getsockname()
            server = await asyncio.start_server(lambda _, writer: writer.close(), host, port)
        async with server:
            reader, writer = await asyncio.open_connection(host, port)
            assert await reader.read() == b""
            writer.close()
            with reserve_port(AUTO) as other:
                assert other.getsockname()[1] > port

    asyncio.run(serve())


def test_a_port_that_was_asked_for_is_taken_or_refused(taken: int) -> None:
    with pytest.raises(ClusterError, match=f"but {taken} is in use on {HOST}"):
        reserve_port(Dashboard(host=HOST, port=str(taken)))
    with reserve_port(AUTO) as auto:
        port = auto.getsockname()[1]
    with reserve_port(Dashboard(host=HOST, port=str(port))) as asked:
        assert asked.getsockname() == (HOST, port)


START = """
from pathlib import Path
import ray
from search.resources import Resources
from search.tuner import Dashboard, reserve_port, start_ray
one = Resources(concurrent=1, threads=1, gpus=0.0, why="one")
with reserve_port(Dashboard(host="127.0.0.1", port="auto")) as port:
    input()
    print(start_ray(one, port, Path.cwd()), flush=True)
input()
ray.shutdown()
"""


@pytest.mark.slow
def test_two_that_start_together_both_get_a_dashboard() -> None:
    """In processes of their own, so that no Ray runs in this one."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", START], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in started:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    addresses = [process.stdout.readline() for process in started if process.stdout]
    for process in started:
        process.communicate("\n", timeout=100)
    assert all(address.startswith(f"http://{HOST}:") for address in addresses)
    assert len(set(addresses)) == 2
    assert [process.returncode for process in started] == [0, 0]
