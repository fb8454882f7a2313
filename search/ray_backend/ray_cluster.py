"""A running Ray cluster: joined, asked for its nodes, and given single functions to call.

The search then runs on a node of it, and its code travels: no node needs a checkout of its own.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from common.errors import UserError
from search.hardware.allocation import Resources
from search.hardware.machine import Cluster, Machine, Node
from search.preflight import ROOMS, ROOT

P = ParamSpec("P")
T = TypeVar("T")

ONLY_CODE = ["/*", "!.", *(f"!/{room}" for room in ROOMS), "__pycache__", "/results/published"]
"""What stays behind, as in a .gitignore: all but the rooms. Data, runs and caches go nowhere."""

_FRESH_S = 2.0
"""How long a list of nodes counts as what is there now."""

_CONNECT_S = 10.0
"""How long a connection to a cluster's head may take."""

_ACCELERATOR = "accelerator_type:"


class ClusterError(UserError):
    """Ray can't be used as asked; the message names the value and the remedy."""


def silence_ray() -> None:
    """To be called before Ray is imported: no statistics to its makers, no output of its own.

    The run directory is what a search is resumed from, so Ray's own snapshots go unread. What a
    raylet says last, with a stack trace, Ray prints whatever it is told of logs (ray 2.60.0).
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "100000")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C is ours: `search.session.interrupts`


def connect(address: str, root: Path) -> Cluster:
    """Connects to the cluster at `address`, `auto` or HOST:PORT.

    Workers get the code in `root`. Raises `ClusterError` where this machine is no node of a
    cluster there, or where none has a core.
    """
    silence_ray()
    _check_reachable(address)
    # So long Ray waits to learn why a worker is gone, before it says that it can't know.
    os.environ.setdefault("RAY_timeout_ms_task_wait_for_death_info", "60000")
    import ray

    try:
        context = ray.init(
            address=address,
            runtime_env={"working_dir": str(root), "excludes": ONLY_CODE},
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except Exception as error:  # ConnectionError, ValueError, RuntimeError and Ray's own
        raise _no_cluster(address, error) from error
    found = living_nodes()
    if not found:
        raise ClusterError(
            f"--address must be that of a cluster with cores, but the nodes at {address} offer "
            "none; see `ray status`."
        )
    return Cluster(nodes=found, driver_node=node_id(), dashboard=context.dashboard_url or "")


def _check_reachable(address: str) -> None:
    """Ray would try for a minute and a half. Raises `ClusterError`."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ClusterError:
    why = (str(error).strip() or repr(error)).splitlines()[0]
    return ClusterError(
        f"--address must be that of a Ray cluster with this machine as a node, and its token here, "
        f"but {address} isn't ({why}); log in to a node (`ray attach cluster.yaml`), see `ray "
        "status`, and compare ~/.ray/auth_token with the head's."
    )


def disconnect() -> None:
    """Ends the connection; the cluster goes on."""
    import ray

    ray.shutdown()


def node_id() -> str:
    """The node that this process is on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def living_nodes() -> tuple[Node, ...]:
    """The nodes that are up and offer cores, in the order in which they joined.

    One that is being drained, as before a spot instance is taken away, gets nothing new from Ray,
    which tells so in its private state alone (ray 2.60.0).
    """
    import ray
    from ray._private.state import state

    leaving = state.get_draining_nodes()
    return tuple(
        Node(id=each["NodeID"], address=each["NodeManagerAddress"], machine=_machine(each))
        for each in ray.nodes()  # type: ignore[no-untyped-call]
        if each["Alive"] and each["NodeID"] not in leaving
        if each["Resources"].get("CPU", 0) >= 1
    )


def _machine(node: dict[str, Any]) -> Machine:
    """What Ray may give away on a node."""
    has = node["Resources"]
    names = [key.removeprefix(_ACCELERATOR) for key in has if key.startswith(_ACCELERATOR)]
    return Machine(
        cpus=int(has["CPU"]),
        memory_bytes=int(has.get("memory", 0)),
        gpus=tuple((names or ["GPU"])[:1]) * int(has.get("GPU", 0)),
    )


class LivingNodes:
    """`living_nodes`, asked again after some seconds at the earliest."""

    def __init__(self, first: Sequence[Node]) -> None:
        self._last, self._at = tuple(first), time.monotonic()

    def __call__(self) -> Sequence[Node]:
        """The nodes that are there now."""
        if time.monotonic() - self._at > _FRESH_S:
            self._last, self._at = living_nodes(), time.monotonic()
        return self._last


def submit(
    kind: Resources, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> "Future[T]":
    """Has `function` called on a node, with a trial's share of it; what it raises arrives."""
    import ray

    task = ray.remote(function).options(num_cpus=kind.threads, num_gpus=kind.gpus)
    future: Future[T] = task.remote(*args, **kwargs).future()
    return future


@contextmanager
def join_cluster(address: str) -> Iterator[tuple[Cluster | None, list[str]]]:
    """The cluster at `address`, and a sentence where it can't be joined; left at the end.

    Without an address neither: Ray is started later, on this machine.
    """
    if not address:
        yield None, []
        return
    try:
        found = connect(address, ROOT)
    except ClusterError as error:
        yield None, [str(error)]
        return
    from search.ray_backend.node_check import find_package_mismatches

    try:
        yield found, find_package_mismatches(found)
    finally:
        disconnect()
