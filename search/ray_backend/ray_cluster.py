"""Joins a running Ray cluster, lists its nodes, and submits single functions to it.

The search runs on one of the nodes and its code travels: no node needs a checkout of its own.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from common.errors import UserError
from common.signals import install_again, shield_children
from search.hardware.allocation import Resources
from search.hardware.gpus import VISIBLE, Gpu
from search.hardware.machine import Cluster, Machine, Node
from search.preflight import ROOMS, ROOT

P = ParamSpec("P")
T = TypeVar("T")

ONLY_CODE = ["/*", "!.", *(f"!/{room}" for room in ROOMS), "__pycache__", "/results/published"]
"""These patterns, as in a .gitignore, exclude all but our packages: data, runs and caches stay."""

_FRESH_S = 2.0
"""A list of nodes counts as current for this many seconds."""

_CONNECT_S = 10.0
"""A connection to a cluster's head may take this many seconds."""

_ACCELERATOR = "accelerator_type:"


class ClusterError(UserError):
    """Reports that Ray can't be used as asked. The message names the value and the remedy."""


def prepare_ray(root: Path | None = None) -> None:
    """Turns off Ray's usage statistics and its own output, and makes workers find our packages in
    `root` first, and then those that PYTHONPATH names. Call it before Ray is imported.

    A search is resumed from its run directory, so Ray's own snapshots are never read. Ray prints
    the last messages of a raylet, with a stack trace, in spite of all settings (ray 2.60.0).
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "100000")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    if root:
        paths = [str(root), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))


def free_agent_port() -> None:
    """Has Ray's dashboard agent listen at any free port. Ray 2.60.0 means 52365, at which that of a
    second Ray on the machine tries in vain for three seconds, while its Ray waits, and gives up.
    """
    from ray._private.parameter import RayParams

    if not isinstance(vars(RayParams)["__init__"], partialmethod):
        anywhere = partialmethod(RayParams.__init__, dashboard_agent_listen_port=0)
        RayParams.__init__ = anywhere  # type: ignore[assignment]


@contextmanager
def keep_signals() -> Iterator[None]:
    """Keeps the signals that end a search to the search, while and after the block starts Ray.

    Ray's processes get sessions of their own, so that a terminal's or a job's signals don't reach
    them, and ignore all but SIGTERM. Ray 2.60.0 has them in the driver's process group. In the
    driver, it sets two handlers of SIGTERM: Python's ends Ray first, and C++'s prints its stack.
    """
    from ray._private import services, utils

    start: Callable[..., Any] = services.ConsolePopen

    def start_apart(*words: Any, preexec_fn: Callable[[], object], **more: Any) -> Any:
        def begin() -> None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            preexec_fn()

        return start(*words, preexec_fn=begin, start_new_session=True, **more)

    set_handler = utils.set_sigterm_handler
    services.ConsolePopen = start_apart  # type: ignore[misc, assignment]
    utils.set_sigterm_handler = lambda _handler: None
    try:
        with shield_children():
            yield
            install_again()
    finally:
        services.ConsolePopen = start  # type: ignore[misc, assignment]
        utils.set_sigterm_handler = set_handler


def connect(address: str, root: Path) -> Cluster:
    """Connects to the cluster at `address`, `auto` or HOST:PORT.

    Workers get the code in `root`. Raises `ClusterError` where this machine is no node of a
    cluster there, or where none has a core.
    """
    prepare_ray()
    _check_reachable(address)
    # So that a session whose head has died ends in order, before Ray's C++ code ends this process.
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "300")
    # So long Ray waits to learn why a worker is gone, before it says that it can't know.
    os.environ.setdefault("RAY_timeout_ms_task_wait_for_death_info", "60000")
    import ray

    try:
        with keep_signals():
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
    """Raises `ClusterError` where nothing listens at the address; Ray would try for 90 seconds."""
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
    """Ends the connection, while the cluster continues to run."""
    import ray

    ray.shutdown()


def node_id() -> str:
    """Returns the id of the node that this process runs on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def living_nodes() -> tuple[Node, ...]:
    """Returns the nodes that are up and offer cores, in the order in which they joined.

    A node that is being drained, as before a spot instance ends, gets no new work from Ray, which
    only Ray's private state shows (ray 2.60.0).
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
    """Returns the resources that Ray can assign on a node."""
    has = node["Resources"]
    names = (key.removeprefix(_ACCELERATOR) for key in has if key.startswith(_ACCELERATOR))
    name = next(names, "GPU")
    return Machine(
        cpus=int(has["CPU"]),
        memory_bytes=int(has.get("memory", 0)),
        gpus=tuple(Gpu(id=str(n), name=name) for n in range(int(has.get("GPU", 0)))),
    )


def raylet_lives() -> Callable[[], bool]:
    """Returns a function that asks the GCS whether this machine's raylet is alive. The function
    waits for its answer, and has a connection of its own.
    """
    import ray
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    asked = [ray.NodeID.from_hex(node_id())]
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    return lambda: bool(client.check_alive(asked, timeout=_CONNECT_S)[0])


class LivingNodes:
    """Caches `living_nodes` for `_FRESH_S` seconds."""

    def __init__(self, first: Sequence[Node]) -> None:
        self._last, self._at = tuple(first), time.monotonic()

    def __call__(self) -> Sequence[Node]:
        """Returns the nodes that are up at the moment."""
        if time.monotonic() - self._at > _FRESH_S:
            self._last, self._at = living_nodes(), time.monotonic()
        return self._last


def submit(
    kind: Resources, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> "Future[T]":
    """Calls `function` on a node, with a trial's share of it; the future has its result or error,
    which is a `BrokenExecutor` where the process or its node has died. A share without a GPU sees
    none there.
    """
    import ray

    # A process ends after its call, because CUDA, once it began, keeps the GPUs that it has seen.
    task = ray.remote(num_cpus=kind.threads, num_gpus=kind.gpus, max_calls=1)(_call)
    return report_death(task.remote(function, kind.per_gpu > 0, *args, **kwargs).future())


def report_death(answer: "Future[T]") -> "Future[T]":
    """Returns a future of the same answer, of which an error that comes from Ray, and not from the
    function, is a `BrokenExecutor` with the first line of Ray's reason, as of a local process.
    """
    from ray.exceptions import RayError, RayTaskError

    future: Future[T] = Future()

    def hand_on(done: "Future[T]") -> None:
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        elif isinstance(error, RayError) and not isinstance(error, RayTaskError):
            future.set_exception(BrokenExecutor(str(error).strip().partition("\n")[0].rstrip(".")))
        else:
            future.set_exception(error)

    answer.add_done_callback(hand_on)
    return future


def _call(function: Callable[..., T], sees_gpu: bool, *args: Any, **kwargs: Any) -> T:
    if not sees_gpu:
        os.environ[VISIBLE] = ""
    return function(*args, **kwargs)


@contextmanager
def join_cluster(address: str) -> Iterator[tuple[Cluster | None, list[str]]]:
    """Yields (cluster at `address`, faults), and leaves the cluster at the end.

    The cluster is `None` without an address, when Ray is started later on this machine, and where
    it can't be joined. Its nodes have the GPUs that torch has found there. Each fault is a
    sentence.
    """
    if not address:
        yield None, []
        return
    try:
        found = connect(address, ROOT)
    except ClusterError as error:
        yield None, [str(error)]
        return
    from search.ray_backend.node_check import examine_nodes

    try:
        yield examine_nodes(found)
    finally:
        disconnect()
