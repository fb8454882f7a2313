"""Checks that all nodes have this machine's packages, before a trial fails because one is missing,
and that none offers more than its container allows.

Ray itself refuses nodes that have another Python or Ray. Nodes that join later aren't checked.
"""

from collections.abc import Mapping

import ray
from ray._private.utils import get_num_cpus
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from common.allowance import Allowance, allowed_cores, allowed_memory
from search.hardware.machine import Cluster, Node
from search.preflight import ROOT, required, versions

_PATIENCE_S = 60.0
"""All nodes together have this time to answer; those that are slower, or gone, count as correct."""

Versions = Mapping[str, str | None]
Answer = tuple[Versions, Allowance, Allowance, int]
"""A node answers with its packages, the cores and the memory that it may use, and the cores that
Ray counts.
"""


def find_node_faults(cluster: Cluster) -> list[str]:
    """Returns a sentence for each node whose packages differ from this machine's, and for each that
    offers more cores or more memory than it may use.
    """
    names = required(ROOT)
    here = _answer(names)
    asked, faults = {}, list[str]()
    for node in cluster.nodes:
        if node.id == cluster.driver_node:
            faults += describe_excess(*here[1:], node)
        else:
            asked[_ask(node, names)] = node
    ready = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE_S)[0] if asked else []
    compared = (error for answer in ready for error in _compare(here[0], answer, asked[answer]))
    return [*faults, *compared]


def _ask(node: Node, names: list[str]) -> "ray.ObjectRef[Answer]":
    where = NodeAffinitySchedulingStrategy(node.id, soft=False)
    ask = ray.remote(_answer).options(num_cpus=0, max_retries=0, scheduling_strategy=where)
    return ask.remote(names)


def _answer(names: list[str]) -> Answer:
    return versions(names), allowed_cores(), allowed_memory(), int(get_num_cpus(True))


def _compare(here: Versions, answer: "ray.ObjectRef[Answer]", node: Node) -> list[str]:
    try:
        there, cores, memory, counted = ray.get(answer)
        return [
            *describe_mismatch(here, there, node.address),
            *describe_excess(cores, memory, counted, node),
        ]
    except (RayTaskError, RuntimeEnvSetupError) as error:
        why = (str(error).strip() or repr(error)).splitlines()[-1]
        return [
            f"Node {node.address} must be able to run this project's code, but isn't ({why}); type "
            "`make setup` there, and see its logs in /tmp/ray/session_latest/logs."
        ]
    except RayError:
        return []  # it is gone


def describe_mismatch(here: Versions, there: Versions, address: str) -> list[str]:
    """Returns a list with one sentence where the packages differ, and an empty one elsewhere.

    Builds of one version, for CPUs or GPUs, count as the same.
    """
    found = [
        f"{name} {there.get(name) or 'missing'} instead of {version}"
        for name, version in here.items()
        if _public_version(there.get(name)) != _public_version(version)
    ]
    if not found:
        return []
    return [
        f"Node {address} must have the packages of this machine, but has {', '.join(found)}; type "
        "`make setup` on both, and start Ray there anew."
    ]


def describe_excess(cores: Allowance, memory: Allowance, counted: int, node: Node) -> list[str]:
    """Returns a sentence for each of cores and memory of which a node offers more than it may use.

    counted: the cores that Ray itself counts there. Where the node offers another number, somebody
        has chosen it.
    """
    offered, faults = node.machine, []
    if offered.cpus == counted > cores.amount:
        faults.append(("cores", offered.cpus, cores, "num-cpus"))
    if memory.source and offered.memory_bytes > memory.amount:
        faults.append(("bytes of memory", offered.memory_bytes, memory, "memory"))
    return [
        f"Node {node.address} must offer only the {what} that it may use, but offers {offers} "
        f"instead of {allowed.amount} (limit of {allowed.source}); start Ray there anew with "
        f"`--{option}={allowed.amount}`."
        for what, offers, allowed, option in faults
    ]


def _public_version(version: str | None) -> str | None:
    """Returns the version without the name of a build, as in 2.14.1+cpu."""
    return version and version.partition("+")[0]
