"""Starts, watches and ends the Ray of a session."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from search.monitoring.live_page import LivePage
from search.monitoring.monitor import Monitor
from search.planning.plan import Plan
from search.preflight import ROOT
from search.ray_backend.heartbeat import Heartbeat, Liveness, kill_ray, ray_processes
from search.ray_backend.local_ray import remove_files, start_ray, stop_ray
from search.ray_backend.ray_cluster import LivingNodes, raylet_lives
from search.ray_backend.slots import Slots
from search.security import how_to_enter, how_to_enter_cluster, read_token, token_command
from search.session.checks import StartChecks
from search.session.loggers import connect_trackers
from search.session.session import Session

if TYPE_CHECKING:
    from search.ray_backend.trackers import Logger


def make_heartbeat(plan: Plan, take_over: Callable[[str], object]) -> Heartbeat:
    """Returns the heartbeat of a session's Ray, which doesn't watch yet. `take_over` is that of
    `Heartbeat`. The Ray of a cluster is never killed.
    """
    return Heartbeat((lambda: None) if plan.cluster else kill_ray, take_over)


def open_ray(
    plan: Plan, monitor: Monitor, heartbeat: Heartbeat, checks: StartChecks, held: ExitStack
) -> "list[Logger]":
    """Starts Ray unless a cluster is joined, watches it, serves the run's page until `held` closes,
    prints the addresses of dashboard and page, and returns the trackers' loggers.
    """
    if checks.port is None:
        assert plan.cluster is not None
        address, enter = "none", how_to_enter_cluster(plan.cluster.dashboard)
        if plan.cluster.dashboard:
            address = f"http://{plan.cluster.dashboard}"
    else:
        gpus = plan.machine.gpus if plan.resources.per_gpu else ()
        address = start_ray(plan.resources, checks.port, ROOT, plan.machine.memory_bytes, gpus)
        enter = how_to_enter()
    heartbeat.start(Liveness(ray_processes(), raylet_lives()))
    monitor.stage("Ray")
    monitor.inform(f"dashboard  {address}  ({enter})")
    if checks.page is not None:
        serve_page(plan.directory, checks.page, monitor, held)
    return connect_trackers(plan.options, plan.name, plan.directory)


def serve_page(
    directory: Path, listening: socket.socket, monitor: Monitor, held: ExitStack
) -> None:
    """Serves the page of the run in `directory` until `held` closes, and prints its address. Where
    others can reach it, the page asks for Ray's token, or for one of its own if Ray has none.
    """
    page = held.enter_context(LivePage(directory, listening, root=ROOT, token=read_token()))
    how = f"  (append ?token= and what `{token_command()}` prints)" if page.needs_token else ""
    monitor.show_address(f"page       {page.address}{how}")


def make_slots(plan: Plan, session: Session) -> Slots:
    """Returns the slots of the trials, of which steering may use fewer; on a cluster they follow
    the nodes that come and go.
    """
    resources, steering = session.resources, session.steering
    nodes = LivingNodes(plan.cluster.nodes) if plan.cluster else None

    def limit() -> int | None:
        return None if steering.at_once == steering.allocated else steering.at_once

    asked = plan.cluster is not None and plan.options.concurrency != "auto"
    return Slots(resources, nodes, asked=asked, limit=limit)


def close_ray(plan: Plan, heartbeat: Heartbeat) -> None:
    """Ends the Ray that this process has started, if it runs, and removes its files. What is left
    of a Ray that has died is killed.
    """
    heartbeat.close()
    if plan.cluster:
        return
    if heartbeat.reason is None:
        stop_ray(plan.directory)
    else:
        kill_ray()
        remove_files(plan.directory)
