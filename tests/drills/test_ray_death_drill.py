"""Each of Ray's processes killed or stopped in the midst of a search, on one node and on two.

No trial is stopped early and the first ten configurations depend on the seed alone, so that every
search here has the trials of the one that nobody disturbs. An environment variable DRILL_TIMES
says how often each is run.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from results.store import read_epochs, read_trials
from tests.drills.searches import (
    ENVIRONMENT,
    PATIENCE_S,
    ROOT,
    best,
    epochs_in,
    family,
    resume,
    run,
    start,
    wait_for,
)
from tests.search.test_search import numbers

TRIALS, EPOCHS = 4, 3
DIED, ENDED = "a new process goes on from the records", "error: the search stopped: Ray has died"

ONE_NODE = {
    "raylet": (signal.SIGKILL, 5, DIED),
    "gcs_server": (signal.SIGKILL, 5, DIED),
    "raylet stopped": (signal.SIGSTOP, 3, DIED),
    "gcs_server stopped": (signal.SIGSTOP, 3, DIED),
    "ray::DashboardAgent": (signal.SIGKILL, 3, None),
    "ray::RuntimeEnvAgent": (signal.SIGKILL, 3, None),
    "dashboard": (signal.SIGKILL, 3, ""),
    "log_monitor": (signal.SIGKILL, 3, ""),
    "ray::trial": (signal.SIGKILL, 3, ""),
    "ray::IDLE": (signal.SIGKILL, 3, ""),
}
"""By process: signal, how often, and the words on the screen; `None` where Ray's raylet may end
with the process or not.
"""

TWO_NODES = {
    ("head", "gcs_server"): (signal.SIGKILL, 3, ENDED),
    ("head", "gcs_server stopped"): (signal.SIGSTOP, 3, ENDED),
    ("head", "raylet"): (signal.SIGKILL, 3, ENDED),
    ("other", "raylet"): (signal.SIGKILL, 3, ""),
    ("other", "raylet stopped"): (signal.SIGSTOP, 3, ""),
    ("head", "dashboard"): (signal.SIGKILL, 3, ""),
    ("head", "log_monitor"): (signal.SIGKILL, 3, ""),
}
"""By node and process; the search runs on the head."""


def command(out: Path, data: Path, *more: str) -> list[str]:
    """A search of two trials at once, of one core each."""
    return [
        sys.executable, "-m", "search.run", "--space", "demo", "--data", str(data), "--out",
        str(out), "--name", "run", "--trials", str(TRIALS), "--epochs", str(EPOCHS), "--grace",
        str(EPOCHS), "--max-gap", "0", "--precision", "float32",
        "--set", "batch_size=64", "image_size=32", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """The run that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    run(command(out, demo_data, "--concurrency", "2"))
    return out / "run"


def find(process: "subprocess.Popen[str]", name: str) -> psutil.Process | None:
    """The process of Ray's whose name or script is this one."""
    for each in family(process):
        with suppress(psutil.Error):
            line = each.cmdline() or [""]  # of a zombie
            script = next((word for word in line[:4] if word.endswith(f"{name}.py")), None)
            if each.name() == name or line[0].startswith(name) or script:
                return each
    return None


def why_ray_died(told: str) -> str:
    """The reason on the screen, or that Ray lived."""
    reason = re.search(r"Ray has died \((.*)\)", told)
    return reason[1] if reason else "Ray lived"


def is_whole(directory: Path, whole: Path) -> dict[str, int]:
    """Counts what was lost, after the run was compared with the one that nobody disturbed."""
    assert numbers(directory) == numbers(whole)
    assert best(directory) == best(whole)
    recorded = [(trial, metrics.epoch) for trial, metrics in read_epochs(directory)]
    assert len(recorded) == len(set(recorded)) == TRIALS * EPOCHS
    retried = sum(record.retried is not None for record in read_trials(directory).values())
    return {"epochs": len(recorded), "twice": 0, "retries": retried}


def survivors(processes: list[psutil.Process], wait_s: float = 300.0) -> list[str]:
    """The names of those that are still there after a while."""
    end = time.monotonic() + wait_s
    while left := [name for each in processes if (name := name_of(each))]:
        if time.monotonic() > end:
            break
        time.sleep(1)
    return left


def name_of(process: psutil.Process) -> str:
    """The name of a process that runs; "" for others."""
    with suppress(psutil.Error):
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return process.name()
    return ""


def strike(
    process: "subprocess.Popen[str]", directory: Path, target: str, number: signal.Signals
) -> float:
    """Sends the signal to a process of Ray's at a drawn moment. Returns when it did."""
    moment = random.Random()
    name = target.removesuffix(" stopped")
    if name == "ray::IDLE":
        wait_for(lambda: find(process, name), process)
    else:
        least = moment.randint(1, TRIALS * EPOCHS // 2)
        wait_for(lambda: epochs_in(directory) >= least and find(process, name), process)
        time.sleep(moment.uniform(0.0, 1.5))
    found = find(process, name)
    assert found, f"no {name} any more"
    found.send_signal(number)
    return time.monotonic()


@pytest.mark.drill
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("target", ONE_NODE)
def test_on_one_node_nothing_is_lost(
    tmp_path: Path, demo_data: Path, whole: Path, target: str
) -> None:
    number, times, words = ONE_NODE[target]
    times = int(os.environ.get("DRILL_TIMES", times))
    for attempt in range(times):
        out = tmp_path / str(attempt)
        process = start(command(out, demo_data, "--concurrency", "2"))
        struck = strike(process, out / "run", target, number)
        started = family(process)
        told, wrong = process.communicate(timeout=PATIENCE_S)
        took = time.monotonic() - struck
        assert process.returncode == 0, told + wrong
        assert words is None or (DIED in told) == (words == DIED), told + wrong
        lost = is_whole(out / "run", whole)
        assert DIED not in told or lost["retries"] == 0, told
        assert "ray::" in target or lost["retries"] == 0, told
        left = survivors([each for each in started if each.pid != process.pid])
        assert left == [], told
        print(
            f"one node, {target}, {attempt + 1} of {times}: done after {took:.0f} s, "
            f"{why_ray_died(told)}; {lost}; survivors {len(left)}"
        )


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_a_second_death_ends_the_search_in_order(
    tmp_path: Path, demo_data: Path, whole: Path
) -> None:
    times = int(os.environ.get("DRILL_TIMES", 3))
    for attempt in range(times):
        out = tmp_path / str(attempt)
        directory = out / "run"
        process = start(command(out, demo_data, "--concurrency", "2"))
        for name, least in (("raylet", 2), ("gcs_server", 5)):
            wait_for(lambda: epochs_in(directory) >= least, process)  # noqa: B023
            found = find(process, name)
            assert found
            found.kill()
        told, wrong = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130, told + wrong
        assert told.count(DIED) == told.count(ENDED) == 1, told + wrong
        assert f"python -m search.run --resume run --out {out}" in told
        assert {"best.yaml", "report.html"} <= {path.name for path in directory.iterdir()}
        before = epochs_in(directory)
        run(resume(out))
        lost = is_whole(directory, whole)
        print(
            f"killed twice, {attempt + 1} of {times}: a new process, then an end in order with "
            f"{before} epochs, then resumed; {lost}"
        )
        assert lost["retries"] == 0


@contextmanager
def two_nodes() -> Iterator[dict[str, Any]]:
    """The cluster of `tests.drills.two_nodes`, and its processes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.drills.two_nodes"], cwd=ROOT, env=ENVIRONMENT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
    )  # fmt: skip
    assert process.stdout
    try:
        line = next((one for one in process.stdout if one.startswith("{")), "no cluster")
        yield json.loads(line)
    finally:
        parent = psutil.Process(process.pid)
        for each in [*parent.children(recursive=True), parent]:
            with suppress(psutil.Error):
                each.kill()
        process.communicate()


@pytest.mark.drill
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("target", TWO_NODES, ids=" ".join)
def test_on_two_nodes_the_search_goes_on_or_ends_in_order(
    tmp_path: Path, demo_data: Path, whole: Path, target: tuple[str, str]
) -> None:
    number, times, words = TWO_NODES[target]
    times = int(os.environ.get("DRILL_TIMES", times))
    node, name = target
    for attempt in range(times):
        out, moment = tmp_path / str(attempt), random.Random()
        directory = out / "run"
        with two_nodes() as nodes:
            process = start(command(out, demo_data, "--address", nodes["address"]))
            least = moment.randint(2, TRIALS * EPOCHS // 2)
            wait_for(lambda: epochs_in(directory) >= least, process)  # noqa: B023
            time.sleep(moment.uniform(0.0, 1.5))
            os.kill(nodes["pids"][node][name.removesuffix(" stopped")], number)
            struck = time.monotonic()
            told, wrong = process.communicate(timeout=PATIENCE_S)
            took, before = time.monotonic() - struck, epochs_in(directory)
        assert (ENDED in told) == (words == ENDED), told + wrong
        assert process.returncode == (130 if words == ENDED else 0), told + wrong
        if words == ENDED:
            assert f"python -m search.run --resume run --out {out}" in told
            assert {"best.yaml", "report.html"} <= {path.name for path in directory.iterdir()}
            with two_nodes() as nodes:
                run(resume(out, "--address", nodes["address"]))
        lost = is_whole(directory, whole)
        assert lost["retries"] == 0, told
        print(
            f"two nodes, {' '.join(target)}, {attempt + 1} of {times}: ended after {took:.0f} s "
            f"with {before} epochs, {why_ray_died(told)}; {lost}"
        )


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_a_busy_machine_is_no_dead_ray(tmp_path: Path, demo_data: Path, whole: Path) -> None:
    """Thirty processes that compute, for 45 s: longer than a GCS may be silent."""
    process = start(command(tmp_path, demo_data, "--concurrency", "2"))
    wait_for(lambda: epochs_in(tmp_path / "run") >= 2, process)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(30)]
    try:
        time.sleep(45)
    finally:
        for each in busy:
            each.kill()
            each.wait()
    told, wrong = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, told + wrong
    assert "Ray has died" not in told
    print(f"30 busy processes for 45 s: no alarm; {is_whole(tmp_path / 'run', whole)}")


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_a_search_whose_worker_hangs_ends_with_its_time(tmp_path: Path, demo_data: Path) -> None:
    budget_s = 45.0
    times = int(os.environ.get("DRILL_TIMES", 3))
    for attempt in range(times):
        out = tmp_path / str(attempt)
        process = start(
            command(out, demo_data, "--concurrency", "1", "--time-budget", f"{budget_s:.0f}s")
        )
        wait_for(lambda: epochs_in(out / "run") >= 2, process)  # noqa: B023
        worker = find(process, "ray::trial")
        assert worker
        worker.send_signal(signal.SIGSTOP)
        told, wrong = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, told + wrong
        manifest = json.loads((out / "run" / "manifest.json").read_text(encoding="utf-8"))
        used_s = manifest["sessions"][-1]["used_s"]
        assert budget_s <= used_s < budget_s + 15, told
        assert "The time budget is used up." in told
        assert "didn't finish" in told
        print(
            f"a hung worker, {attempt + 1} of {times}: a budget of {budget_s:.0f} s, ended after "
            f"{used_s:.1f} s with {epochs_in(out / 'run')} epochs"
        )
