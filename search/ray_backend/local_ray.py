"""Starts Ray on this machine, with a folder and a dashboard's port of its own, and stops it."""

import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil

from common.errors import UserError
from common.private_folder import (
    PrivateFolder,
    choose_place,
    keep_compiled_private,
    make_private_folder,
    places,
    remove_leftovers,
)
from common.signals import hold, raise_received
from common.text import last_lines
from search.hardware.allocation import Resources
from search.hardware.gpus import Gpu, show_gpus
from search.hardware.process_limits import find_limit_errors
from search.ray_backend.heartbeat import limit_start
from search.ray_backend.ray_cluster import ClusterError, free_agent_port, keep_signals, prepare_ray
from search.security import bypass_proxies, check_token, prepare_token, stay_on_this_machine

FIRST_PORT = 8265
"""Ray's own default for the dashboard."""

LINK = "ray"
"""This entry of a run's folder leads to the files of Ray while the search runs. Where the search
stopped by an error, it is a folder that holds the ends of Ray's logs.
"""

_PREFIX, _SESSIONS = "ray-", "s"
"""A search's folder has a name that begins with this prefix. Ray opens its own folder to all users,
so that it is one inside.
"""

_LONGEST_PATH = 107
_BELOW = len("/ray-12345678/s/session_2026-01-01_00-00-00_123456_1234567/sockets/dash_MetricsHead")
"""A socket's path has at most `_LONGEST_PATH` bytes, of which Ray 2.60.0 needs so many itself."""

_FREE_BYTES = 256 << 20
"""Ray's files have to have this much room: two logs of each process, and the object store where
shared memory is too small for it.
"""

_OBJECT_STORE_BYTES = 128 << 20
"""The object store has this size: trials exchange files, and next to nothing passes through it. By
default Ray takes a third of what it takes for the machine's memory.
"""

_LOG_BYTES = 16 << 20
"""Ray starts another log file, and removes the one before the last, after this many bytes."""

_KEPT_BYTES = 128 << 10
"""After an error the last bytes of each log stay."""

_folders: list[PrivateFolder] = []
"""Holds the folder of the Ray that runs now, if one does."""


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


def check_ray(resources: Resources) -> None:
    """Raises `ClusterError` with a sentence for each thing that would keep Ray from starting on
    this machine: no room for its files, limits of the system, and a token that others know.
    """
    errors = find_limit_errors(resources.concurrent)
    checks: Iterable[Callable[[], object]] = (_choose_place, check_token)
    for check in checks:
        try:
            check()
        except UserError as error:
            errors += error.errors
    if errors:
        raise ClusterError(errors)


def _choose_place() -> Path:
    return choose_place(places(), _LONGEST_PATH - _BELOW, _FREE_BYTES)


def start_ray(
    resources: Resources,
    reserved: socket.socket,
    root: Path,
    memory_bytes: int | None = None,
    gpus: Sequence[Gpu] = (),
) -> str:
    """Starts Ray on this machine and returns the address of its dashboard, at the reserved port.

    Folders of dead searches are removed before. Ray gets the cores of `resources`, and
    `memory_bytes`, where they are given, as the memory of this machine: by itself it reads the
    limits of a container, but not those of a group inside. It sees `gpus` and no others. Raises
    `ClusterError` when Ray doesn't start, and `Interruption` where a signal arrived meanwhile.
    """
    prepare_ray(root)
    _configure_ray(resources)
    stay_on_this_machine()
    bypass_proxies()
    remove_leftovers(places(), _PREFIX)
    folder = make_private_folder(_choose_place(), _PREFIX)
    _folders.append(folder)
    folder.take_temporary_files()
    keep_compiled_private()
    prepare_token(folder.path / "auth_token")
    try:
        Path.home()
    except RuntimeError:  # Tune needs one, if only to look for settings that aren't there
        os.environ["HOME"] = str(folder.path)
    with hold():  # an import can't be broken off in order
        import ray

    free_agent_port()
    host, port = reserved.getsockname()
    try:
        with limit_start(), hold(), keep_signals(), show_gpus(gpus):  # a signal would halve Ray
            context = ray.init(
                address="local",  # never by accident a cluster that somebody else has started
                num_cpus=resources.concurrent * resources.threads,
                num_gpus=len(gpus),
                include_dashboard=True,
                dashboard_host=host,
                dashboard_port=port,
                logging_level=logging.ERROR,
                log_to_driver=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _memory=memory_bytes,
                _temp_dir=str(folder.path / _SESSIONS),
            )
    except Exception as error:  # a dashboard that can't start raises nothing more special
        _end_ray(ray)
        folder.return_temporary_files()
        _folders.remove(folder)  # it stays, with the logs, until the next search begins
        logs = _session(folder) / "logs"
        see = f"see its logs in {logs}" if logs.is_dir() else "mend that"
        raise ClusterError(
            f"Ray must start on this machine, but doesn't ({last_lines(str(error))}); {see}, then "
            "run the same command again."
        ) from error
    raise_received()
    return f"http://{context.dashboard_url}"


def _session(folder: PrivateFolder) -> Path:
    return folder.path / _SESSIONS / "session_latest"


def link_ray(directory: Path) -> None:
    """Makes `LINK` in a run's folder lead to the files of the Ray that runs now, if one does."""
    link = directory / LINK
    for folder in _folders:
        with suppress(OSError):  # a disk without links, or one that is full: nothing depends on it
            _unlink(link)
            link.symlink_to(_session(folder))


def keep_logs(directory: Path) -> str:
    """Keeps the ends of Ray's logs in a run's folder, in place of the link to them. Returns a
    sentence with their place, or an empty text where there are none.
    """
    link = directory / LINK
    for folder in _folders:
        with suppress(OSError):
            _unlink(link)
            link.mkdir(mode=0o700)  # as private as the folder that they come from
            (link / "logs").mkdir()
            for log in (_session(folder) / "logs").iterdir():
                if log.is_file() and log.stat().st_size:
                    with log.open("rb") as file:
                        file.seek(max(0, log.stat().st_size - _KEPT_BYTES))
                        (link / "logs" / log.name).write_bytes(file.read())
    return f"The ends of Ray's logs are in {link / 'logs'}." if _folders else ""


def _unlink(link: Path) -> None:
    """Removes the link, or the folder of logs in its place. Raises `OSError`."""
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)


def stop_ray(directory: Path | None = None) -> None:
    """Ends Ray on this machine, if it runs, with all its processes, and removes its folder, and the
    link to it in a run's folder `directory`.
    """
    if ray := sys.modules.get("ray"):
        _end_ray(ray)
    remove_files(directory)


def remove_files(directory: Path | None = None) -> None:
    """Removes the folder of the Ray that this process has started and that has ended, and the link
    to it in a run's folder `directory`.
    """
    while _folders:
        _folders.pop().remove()
    if directory is not None and (directory / LINK).is_symlink():
        (directory / LINK).unlink()


def _end_ray(ray: ModuleType) -> None:
    """Ends Ray, and what its processes have started."""
    family: list[psutil.Process] = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if any(str(folder.path) in command for folder in _folders):
                family += [process, *process.children(recursive=True)]
            # Ray's autoscaler, with nothing to scale here, ends only a second after it is asked to.
            if "autoscaler" in command:
                process.kill()
    ray.shutdown()
    # Agents, and the dashboard's own processes, see that they are alone only a minute later.
    for process in family:
        with suppress(psutil.Error):
            process.kill()


def _configure_ray(resources: Resources) -> None:
    """Limits Ray's logs, and makes workers import what they need while Ray itself starts.

    Ray starts one worker for each CPU beforehand, which helps only where a trial takes one CPU; and
    it would end workers that get no trial within a second. On GPUs most would only hold memory.
    """
    os.environ.setdefault("RAY_ROTATION_MAX_BYTES", str(_LOG_BYTES))
    os.environ.setdefault("RAY_ROTATION_BACKUP_COUNT", "1")
    early = resources.threads == 1 and not resources.gpus
    settings = {"prestart_worker_first_driver": str(int(early))}
    if early:
        settings |= {
            "idle_worker_killing_time_threshold_ms": "600000",
            "preload_python_modules": "search.ray_backend.preload",
        }
    os.environ.update({f"RAY_{name}": value for name, value in settings.items()})
