"""What a search starts listens on this machine only, and its dashboard wants the token."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from search.security import loopback

ROOT = Path(__file__).resolve().parents[3]

LISTENING = """
import json, time, urllib.error, urllib.request
from pathlib import Path
import psutil
from search.hardware.allocation import Resources
from search.ray_backend.local_ray import Dashboard, reserve_port, start_ray, stop_ray

with reserve_port(Dashboard(host="127.0.0.1", port="auto")) as port:
    address = start_ray(Resources(concurrent=1, threads=1, why=""), port, Path.cwd())
time.sleep(5)
try:
    code = urllib.request.urlopen(address + "/api/version", timeout=20).status
except urllib.error.HTTPError as error:
    code = error.code
found = set()
for process in psutil.Process().children(recursive=True):
    for each in process.net_connections(kind="inet"):
        if each.status == psutil.CONN_LISTEN:
            found.add((each.laddr.ip, " ".join(process.cmdline()[:3])[-60:]))
stop_ray()
print(json.dumps({"address": address, "code": code, "found": sorted(found)}))
"""


@pytest.mark.slow
def test_nothing_listens_for_others_and_nobody_enters_without_the_token(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", LISTENING],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": ""},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["code"] == 401
    assert told["found"]
    # A socket of both kinds tells IPv4 addresses in IPv6's form.
    assert [each for each in told["found"] if not loopback(each[0].removeprefix("::ffff:"))] == []


SECOND = """
from pathlib import Path
from search.hardware.allocation import Resources
from search.ray_backend import local_ray

with local_ray.reserve_port(local_ray.Dashboard(host="127.0.0.1", port="auto")) as port:
    local_ray.start_ray(Resources(concurrent=1, threads=1, why=""), port, Path.cwd())
logs = local_ray._session(local_ray._folders[0]) / "logs"
print((logs / "dashboard_agent.log").read_text(encoding="utf-8"))
local_ray.stop_ray()
"""


@pytest.mark.slow
def test_a_second_ray_on_a_machine_needs_no_port_of_the_first() -> None:
    """Its dashboard's agent would try for three seconds, in which Ray waits, and then give up."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    with socket.socket() as first:
        with suppress(OSError):  # another Ray has it
            first.bind(("127.0.0.1", 52365))
            first.listen()
        done = subprocess.run(
            [sys.executable, "-c", SECOND], cwd=ROOT, env=environment | {"PYTHONPATH": ""},
            capture_output=True, encoding="utf-8", timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Loaded" in done.stdout
    assert "ailed" not in done.stdout
