"""Checks that all nodes have this machine's packages, before a trial fails because one is missing,
and that none offers more than its container allows, or GPUs that torch can't use.

Ray itself refuses nodes that have another Python or Ray. Nodes that join later aren't checked.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import ray
from ray._private.utils import get_num_cpus
from ray.exceptions import (
    OutOfMemoryError,
    RayError,
    RayTaskError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from common.allowance import Allowance, allowed_cores, allowed_memory
from search.hardware.gpus import PATIENCE_S, VISIBLE, GpuSurvey, find_gpus
from search.hardware.machine import Cluster, Node
from search.preflight import ROOT, required, versions

_PATIENCE_S = PATIENCE_S + 30.0
"""All nodes together have this time to answer, each of which waits for its torch; those that are
slower, or gone, count as correct.
"""

Versions = Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Holds what a node answers: its packages, the cores and the memory that it may use, the cores
    that Ray counts, the GPUs that torch can use, and what CUDA_VISIBLE_DEVICES is there.
    """

    packages: Versions
    cores: Allowance
    memory: Allowance
    counted: int
    gpus: GpuSurvey
    visible: str | None


def examine_nodes(cluster: Cluster) -> tuple[Cluster, list[str]]:
    """Returns the cluster with the GPUs as torch sees them on each node that answers, their faults
    among them, and a sentence for each node whose packages differ from this machine's, and for each
    that offers more cores or memory than it may use.
    """
    names = required(ROOT)
    here = versions(names)
    asked = {_ask(node, names): node for node in cluster.nodes}
    ready = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE_S)[0]
    nodes = {node.id: node for node in cluster.nodes}
    faults = list[str]()
    for each in ready:
        node = asked[each]
        answer, errors = _read(each, node)
        faults += errors
        if answer:
            faults += find_faults(here, answer, node)
            nodes[node.id] = with_gpus(node, answer.gpus, answer.visible)
    return replace(cluster, nodes=tuple(nodes.values())), faults


def find_faults(here: Versions, answer: Answer, node: Node) -> list[str]:
    """Returns a sentence for each fault of a node that has answered, but for those of its GPUs;
    `here` are the packages of this machine.
    """
    return [
        *describe_mismatch(here, answer.packages, node.address),
        *describe_excess(answer.cores, answer.memory, answer.counted, node),
    ]


def with_gpus(node: Node, survey: GpuSurvey, visible: str | None) -> Node:
    """Returns the node with what torch has found of the GPUs that it offers, with their faults and
    with the notes on those that stay idle, which both count only where trials take GPUs.

    visible: what CUDA_VISIBLE_DEVICES is on the node.
    """
    offered, faults = node.machine.gpus, describe_gpu_excess(survey, node, visible)
    known = offered if faults else survey.gpus[: len(offered)]
    found = replace(
        node.machine,
        gpus=known,
        gpu_faults=tuple(faults),
        gpu_notes=survey.notes if known else (),
    )
    return replace(node, machine=found)


def _ask(node: Node, names: list[str]) -> "ray.ObjectRef[Answer]":
    where = NodeAffinitySchedulingStrategy(node.id, soft=False)
    ask = ray.remote(_answer).options(num_cpus=0, max_retries=0, scheduling_strategy=where)
    return ask.remote(names)


def _answer(names: list[str]) -> Answer:
    return Answer(
        packages=versions(names),
        cores=allowed_cores(),
        memory=allowed_memory(),
        counted=int(get_num_cpus(True)),
        gpus=find_gpus(),
        visible=os.environ.get(VISIBLE),  # Ray 2.60.0 leaves it as the node has it, without GPUs
    )


def _read(answer: "ray.ObjectRef[Answer]", node: Node) -> tuple[Answer | None, list[str]]:
    """Returns a node's answer, and a sentence where it can't give one."""
    try:
        return ray.get(answer), []
    except (RayTaskError, RuntimeEnvSetupError) as error:
        why = (str(error).strip() or repr(error)).splitlines()[-1]
        return None, [
            f"Node {node.address} must be able to run this project's code, but isn't ({why}); type "
            "`make setup` there, and see its logs in /tmp/ray/session_latest/logs."
        ]
    except (WorkerCrashedError, OutOfMemoryError) as error:
        why = str(error).strip().partition("\n")[0].rstrip(".")
        return None, [
            f"Node {node.address} must be able to run this project's code, but the process that "
            f"tried has died ({why}); see `dmesg` of that node for the reason, and free memory if "
            "that is it."
        ]
    except RayError:
        return None, []  # it is gone


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


def describe_gpu_excess(survey: GpuSurvey, node: Node, visible: str | None) -> list[str]:
    """Returns a sentence where a node offers a GPU that torch can't use there. One that offers
    fewer trains on these.

    Ray gives trials the first ids of CUDA_VISIBLE_DEVICES (`visible`), or those from 0 where the
    node has none, as many as the node offers.
    """
    offers, usable = len(node.machine.gpus), [gpu.id for gpu in survey.gpus]
    given = [str(n) for n in range(offers)] if visible is None else visible.split(",")
    good = sum(each.strip() in usable for each in given[:offers])
    if good == offers:
        return []
    command = f"--num-gpus={len(usable)}"
    if usable != [each.strip() for each in given[: len(usable)]]:
        command = f"{VISIBLE}={','.join(usable)} ray start … {command}"
    known = (*survey.faults, *survey.notes)
    reasons = "; ".join(each.partition(";")[0].rstrip(".") for each in known)  # without remedies
    why = f" ({reasons})" if reasons else ""
    return [
        f"Node {node.address} must offer only GPUs that torch can use there, but offers {offers} "
        f"of which torch uses {good}{why}; start Ray there anew with `{command}`, or train on "
        "cores with --gpus-per-trial 0."
    ]


def _public_version(version: str | None) -> str | None:
    """Returns the version without the name of a build, as in 2.14.1+cpu."""
    return version and version.partition("+")[0]
