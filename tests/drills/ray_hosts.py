"""A Ray cluster of three hosts: a head, and two that see neither data nor run nor code."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from search.preflight import ROOMS
from tests.drills.hosts import Host, make_bridge
from tests.drills.logged_nodes import LOG
from tests.drills.searches import ROOT, wait_for

RAY = str(Path(sys.executable).parent / "ray")
PORT = "6379"
TOKEN = "a-token-of-forty-characters-made-up-here"
STARTED = "Ray runtime started."

QUICK = {"RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "3000"}
"""When a node that doesn't answer counts as lost: after 20 s, where Ray's defaults say 65."""


def gather(
    scratch: Path, data: Path, environment: Mapping[str, str]
) -> tuple[list[Host], "list[subprocess.Popen[bytes]]"]:
    """(the hosts, head first, the supervisors of their raylets), when all have joined."""
    make_bridge()
    (scratch / "runs").mkdir()
    hidden = [data, scratch / "runs", *(ROOT / room for room in ROOMS), ROOT / "tests"]
    head = Host(1, scratch / "1")
    others = [Host(number, scratch / str(number), hidden) for number in (2, 3)]
    line = ["--head", f"--port={PORT}", "--dashboard-host=127.0.0.1"]
    supervisors = [start_ray(head, environment, *line)]
    wait_for(joined(head), supervisors[0])
    supervisors += [start_ray(each, environment, f"--address={address(head)}") for each in others]
    for each in others:
        wait_for(joined(each), supervisors[0])
    return [head, *others], supervisors


def address(head: Host) -> str:
    """What `--address` wants."""
    return f"{head.address}:{PORT}"


def start_ray(host: Host, environment: Mapping[str, str], *more: str) -> "subprocess.Popen[bytes]":
    """A raylet of one core. On a worker it is started again whenever it ends, as a supervisor does;
    a head without its Ray Client, for which nobody asks, stays as it is.
    """
    token = host.folder / "home" / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text(TOKEN, encoding="utf-8")
    token.chmod(0o600)
    line = [
        RAY, "start", *more, f"--node-ip-address={host.address}", "--num-cpus=1",
        "--disable-usage-stats", f"--object-store-memory={200 << 20}",
    ]  # fmt: skip
    script = 'while :; do "$@" --block; sleep 2; done'
    if "--head" in more:
        script = '"$@" && exec sleep infinity'
    own = {LOG: str(host.folder / "epochs"), "RAY_AUTH_MODE": "token"}
    return host.start(
        ["sh", "-c", script, "sh", *line], host.folder / "raylet", QUICK | own | dict(environment)
    )


def joined(host: Host, times: int = 1) -> Callable[[], bool]:
    """Whether its raylet has joined the cluster so often."""
    return partial(said, host.folder / "raylet", STARTED, times)


def said(path: Path, text: str, times: int = 1) -> bool:
    """Whether a file says so."""
    return path.exists() and path.read_text(errors="replace", encoding="utf-8").count(text) >= times
