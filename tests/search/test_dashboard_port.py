"""The dashboard's port, where another search takes it between looking and starting Ray."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from search.resources import Resources
from search.tuner import ClusterError, Dashboard, free_port, start_ray

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
AUTO = Dashboard(host=HOST, port="auto")
ONE = Resources(concurrent=1, threads=1, gpus=0.0, why="one")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something else listens on."""
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        yield other.getsockname()[1]


class FakeRay(SimpleNamespace):
    """Fails like Ray where a port is taken; `tried` are the ports that it was given."""

    def __init__(self) -> None:
        super().__init__(tried=[])

    def init(self, *, dashboard_host: str, dashboard_port: int, **_: object) -> SimpleNamespace:
        self.tried.append(dashboard_port)
        with socket.socket() as listening:
            listening.bind((dashboard_host, dashboard_port))
        return SimpleNamespace(dashboard_url=f"{dashboard_host}:{dashboard_port}")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # `start_ray` sets what Ray reads
    return fake


def test_the_loser_goes_on_at_the_next_free_port(taken: int, ray: FakeRay) -> None:
    address = start_ray(ONE, AUTO, taken, ROOT)
    assert ray.tried[0] == taken
    assert address == f"http://{HOST}:{ray.tried[1]}" != f"http://{HOST}:{taken}"
    assert len(ray.tried) == 2


def test_a_port_that_was_asked_for_is_not_changed(taken: int, ray: FakeRay) -> None:
    with pytest.raises(ClusterError, match=r"Ray doesn't start: .*in use"):
        start_ray(ONE, Dashboard(host=HOST, port=str(taken)), taken, ROOT)
    assert ray.tried == [taken]


def test_whatever_else_fails_is_not_tried_again(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        ray.tried.append(0)
        raise OSError("no space left")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ClusterError, match="no space left"):
        start_ray(ONE, AUTO, free_port(AUTO), ROOT)
    assert len(ray.tried) == 1


@pytest.mark.slow
def test_ray_itself_starts_after_it_failed_and_leaves_nothing_of_that() -> None:
    """In a process of its own, so that no Ray runs in this one."""
    code = """
import socket, psutil
from pathlib import Path
from search.resources import Resources
from search.tuner import Dashboard, start_ray
with socket.socket() as other:
    other.bind(("127.0.0.1", 0))
    other.listen()
    port = other.getsockname()[1]
    one = Resources(concurrent=1, threads=1, gpus=0.0, why="one")
    address = start_ray(one, Dashboard(host="127.0.0.1", port="auto"), port, Path.cwd())
assert address.rpartition(":")[2] != str(port), address
lines = [" ".join(child.cmdline()) for child in psutil.Process().children() if
         child.status() != psutil.STATUS_ZOMBIE]
assert sum("gcs_server" in line for line in lines) == 1, lines
import ray
ray.shutdown()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
