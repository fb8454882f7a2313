"""Checks that all nodes have this machine's packages, before a trial fails because one is missing.

Ray itself refuses nodes that have another Python or Ray. Nodes that join later aren't checked.
"""

from collections.abc import Mapping

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.hardware.machine import Cluster, Node
from search.preflight import ROOT, required, versions

_PATIENCE_S = 60.0
"""All nodes together have this time to answer; those that are slower, or gone, count as correct."""

Versions = Mapping[str, str | None]


def find_package_mismatches(cluster: Cluster) -> list[str]:
    """Returns a sentence for each node whose packages differ from this machine's."""
    names = required(ROOT)
    asked = {_ask(node, names): node for node in cluster.nodes if node.id != cluster.driver_node}
    if not asked:
        return []
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE_S)
    here = versions(names)
    return [error for answer in ready for error in _compare(here, answer, asked[answer])]


def _ask(node: Node, names: list[str]) -> "ray.ObjectRef[dict[str, str | None]]":
    where = NodeAffinitySchedulingStrategy(node.id, soft=False)
    ask = ray.remote(versions).options(num_cpus=0, max_retries=0, scheduling_strategy=where)
    return ask.remote(names)


def _compare(here: Versions, answer: "ray.ObjectRef[Versions]", node: Node) -> list[str]:
    try:
        return describe_mismatch(here, ray.get(answer), node.address)
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


def _public_version(version: str | None) -> str | None:
    """Returns the version without the name of a build, as in 2.14.1+cpu."""
    return version and version.partition("+")[0]
