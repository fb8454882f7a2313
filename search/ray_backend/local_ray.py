"""Starts Ray on this machine, with its dashboard at a port of its own, and stops it."""

import logging
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from common.text import last_lines
from search.hardware.allocation import Resources
from search.ray_backend.ray_cluster import ClusterError, silence_ray
from search.security import keep_token_private, stay_on_this_machine

FIRST_PORT = 8265
"""Ray's own default for the dashboard."""

_KILLED_S = 10.0
"""A process that was killed may take this many seconds to end."""

_LOGS = Path("/tmp/ray/session_latest/logs")  # noqa: S108  # where Ray 2.60.0 writes
"""Ray writes its logs here once it has begun to start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """Holds the address that the Ray dashboard listens at: `port` is `auto` or a number."""

    host: str
    port: str


def reserve_port(dashboard: Dashboard) -> socket.socket:
    """Returns a socket bound to the dashboard's port, which keeps other searches away, but not Ray.

    The socket should be closed once Ray runs. Raises `ClusterError` when the port asked for is
    taken.
    """
    if dashboard.port != "auto":
        found = _bind(dashboard.host, int(dashboard.port), alone=False)
        if found is None:
            raise ClusterError(
                f"--dashboard-port must be free, but {dashboard.port} is in use on "
                f"{dashboard.host}; choose another, or auto."
            )
        return found
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        if found := _bind(dashboard.host, port, alone=True):
            return found
    raise ClusterError(f"--dashboard-port auto found none free from {FIRST_PORT} up; name one.")


def _bind(host: str, port: int, *, alone: bool) -> socket.socket | None:
    """Returns a socket bound to a port on which no process listens, or `None` where that fails.

    alone: whether no other socket may be bound to the port, not even one whose connections were
        closed within the last minute. Afterwards, a process that shares ports, as Ray does, can be
        bound to it too.
    """
    found = socket.socket()
    try:
        if not alone:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        found.close()
        return None
    return found


def start_ray(resources: Resources, reserved: socket.socket, root: Path) -> str:
    """Starts Ray on this machine and returns the address of its dashboard, at the reserved port.

    Raises `ClusterError` when Ray doesn't start.
    """
    silence_ray()
    _start_workers_early(resources)
    os.environ["PYTHONPATH"] = str(root)
    stay_on_this_machine()
    import ray

    host, port = reserved.getsockname()
    try:
        context = ray.init(
            address="local",  # never by accident a cluster that somebody else has started
            num_cpus=resources.concurrent * resources.threads,
            include_dashboard=True,
            dashboard_host=host,
            dashboard_port=port,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except Exception as error:  # a dashboard that can't start raises nothing more special
        see = f"see its logs in {_LOGS}" if _LOGS.is_dir() else "mend that"
        raise ClusterError(
            f"Ray must start on this machine, but doesn't ({last_lines(str(error))}); {see}, then "
            "run the same command again."
        ) from error
    keep_token_private()
    return f"http://{context.dashboard_url}"


def stop_ray() -> None:
    """Ends Ray on this machine, if it runs."""
    ray = sys.modules.get("ray")
    if ray is None:
        return
    # Ray's autoscaler, with nothing to scale here, answers a polite end only a second later.
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if any("autoscaler" in part for part in process.cmdline()):
                process.kill()
    ray.shutdown()


def kill_ray() -> None:
    """Kills whatever is left of the Ray on this machine that this process has started.

    Workers, which outlive a raylet that was killed, are found by the files of Ray's session that
    they have open.
    """
    node = _node()
    if node is None:
        return
    session = f"{node.get_session_dir_path()}/"
    found = [child for each in _of_ray(node) for child in _family(each)]
    found += [each for each in psutil.process_iter() if _has_open(each, session)]
    for process in found:
        with suppress(psutil.Error):
            process.kill()
    end = time.monotonic() + _KILLED_S
    while time.monotonic() < end and not all(_has_ended(each) for each in found):
        time.sleep(0.05)


def ray_processes() -> dict[str, psutil.Process]:
    """Returns the raylet and the GCS that this process has started; empty on a cluster."""
    names = {"raylet": "raylet", "gcs_server": "GCS"}
    return {
        names[kind]: psutil.Process(each.process.pid)
        for kind, processes in _node().all_processes.items()
        for each in processes
        if kind in names
    }


def _node() -> Any:
    """Returns Ray's private object of the Ray that this process has started or joined (ray 2.60.0),
    or `None` where it has none.
    """
    import ray

    return ray._private.worker._global_node


def _of_ray(node: Any) -> list[psutil.Process]:
    found = []
    for processes in list(node.all_processes.values()):
        for each in processes:
            with suppress(psutil.Error):
                found.append(psutil.Process(each.process.pid))
    return found


def _family(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return [*process.children(recursive=True), process]
    return [process]


def _has_ended(process: psutil.Process) -> bool:
    """Returns whether a killed process is gone; a child is collected, so that none stays defunct.

    `psutil.wait_procs` raises `FileNotFoundError` on some systems for one that has just gone.
    """
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    with suppress(psutil.Error):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def _has_open(process: psutil.Process, folder: str) -> bool:
    """Returns whether another process of ours has a file in `folder` open."""
    with suppress(psutil.Error, OSError):
        others = process.pid != os.getpid()
        return others and any(file.path.startswith(folder) for file in process.open_files())
    return False


def _start_workers_early(resources: Resources) -> None:
    """Makes workers import what they need while Ray itself starts and the precision is measured.

    Ray starts one worker for each CPU beforehand, which helps only where a trial takes one CPU; and
    it would end workers that don't get a trial within a second.
    """
    early = resources.threads == 1 and not resources.gpus
    settings = {"prestart_worker_first_driver": str(int(early))}
    if early:
        settings |= {
            "idle_worker_killing_time_threshold_ms": "600000",
            "preload_python_modules": "search.ray_backend.preload",
        }
    os.environ.update({f"RAY_{name}": value for name, value in settings.items()})
