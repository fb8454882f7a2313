"""The dashboard's port: searches that start in the same second don't take each other's."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from search.ray_backend.local_ray import Dashboard, reserve_port
from search.ray_backend.ray_cluster import ClusterError

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
