"""A second user of the machine against a search of a first one: it reads neither token nor folder,
and gets neither into Ray nor into the dashboard. `DRILL_STRANGERS` says how often that is tried.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.drills.other_users import NEIGHBOUR, STRANGER, as_user, folder_of
from tests.drills.searches import ENVIRONMENT, ROOT, family, search, survivors

TIMES = int(os.environ.get("DRILL_STRANGERS", "3"))

ATTACK = """
import json, os, subprocess, sys, urllib.error, urllib.request
from pathlib import Path

token, folder, driver, dashboard, gcs, known = sys.argv[1:]
found = {}

def attempt(name, function):
    try:
        found[name] = str(function())[:80]
    except urllib.error.HTTPError as error:
        found[name] = error.code
    except Exception as error:
        found[name] = type(error).__name__

def ask(path, **headers):
    return urllib.request.urlopen(urllib.request.Request(dashboard + path, headers=headers)).status

def join():  # without the right token Ray tries for minutes
    script = (
        "import os, ray; ray.init(address='" + gcs + "', logging_level='ERROR', "
        "log_to_driver=False); print(ray.get(ray.remote(num_cpus=0)(lambda: os.getuid()).remote()))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=45, check=True)
    return done.stdout.split()[-1]

attempt("token", Path(token).read_text)
attempt("folder", lambda: os.listdir(folder))
attempt("logs", lambda: os.listdir(folder + "/s/session_latest/logs"))
attempt("environment", Path(f"/proc/{driver}/environ").read_bytes)
attempt("dashboard", lambda: ask("/api/version"))
attempt("jobs", lambda: ask("/api/jobs/", Authorization="Bearer " + (known or "0" * 64)))
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # as the search: Ray is at 127.0.0.1
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = known or "0" * 64
attempt("join", join)
print(json.dumps(found), flush=True)
os._exit(0)
"""


def attack(user: int, home: Path, *arguments: str) -> dict[str, str | int]:
    """What a user gets, by name."""
    command = as_user(user, [sys.executable, "-c", ATTACK, *arguments])
    free = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        command, cwd=ROOT, env=free | {"HOME": str(home), "TMPDIR": str(home)},
        capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, str | int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.drill
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs the rights of root")
@pytest.mark.parametrize("time_number", range(TIMES))
def test_a_second_user_gets_nowhere(demo_data: Path, time_number: int) -> None:
    with ExitStack() as stack:
        mine = stack.enter_context(folder_of(NEIGHBOUR))
        theirs = stack.enter_context(folder_of(STRANGER))
        mine.chmod(0o755)  # only what the search itself does protects its files
        data = shutil.copytree(demo_data, mine / "data")
        for path in (data, *data.rglob("*")):
            os.chown(path, NEIGHBOUR, NEIGHBOUR)
        free = {k: v for k, v in ENVIRONMENT.items() if not k.startswith("RAY_")}
        process = subprocess.Popen(
            as_user(NEIGHBOUR, search(mine / "out", data, trials=200)), cwd=ROOT,
            env=free | {"HOME": str(mine), "TMPDIR": str(mine)}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", start_new_session=True, umask=0,
        )  # fmt: skip
        assert process.stdout
        dashboard, printed = "", []
        for line in process.stdout:
            printed.append(line)
            if line.startswith("dashboard"):
                dashboard = line.split()[1]
            if "epoch  1/" in line:
                break
        assert dashboard, "".join(printed)
        time.sleep(5)
        (folder,) = mine.glob("ray-*")
        token = mine / ".ray" / "auth_token"
        (port,) = (folder / "s" / "session_latest").glob("gcs_server_port_*")
        gcs = f"127.0.0.1:{port.read_text(encoding='utf-8').strip()}"
        places = (str(token), str(folder), str(process.pid), dashboard, gcs)
        refused = attack(STRANGER, theirs, *places, "")
        allowed = attack(NEIGHBOUR, mine, *places, token.read_text(encoding="utf-8"))
        started = family(process)
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert survivors(started, 10.0) == []
    print(f"the second user: {refused}")
    assert str(allowed["jobs"]) == "200"
    assert str(allowed["join"]) == str(NEIGHBOUR), allowed  # so that a refusal means something
    assert {refused[name] for name in ("token", "folder", "logs", "environment")} == {
        "PermissionError"
    }
    assert refused["dashboard"] == 401
    assert refused["jobs"] in (401, 403)
    assert refused["join"] != str(STRANGER)
    assert not str(refused["join"]).isdigit()
