"""Nodes that offer more than they may use are named, with the option that mends it."""

from dataclasses import replace
from pathlib import Path

import pytest

from common.allowance import Allowance
from search.config.command_line import resolve
from search.hardware.gpus import PATIENCE_S, GpuSurvey
from search.hardware.machine import Machine, Node, combine_machines
from search.planning.option_errors import find_gpu_errors
from search.ray_backend import node_check
from search.ray_backend.node_check import describe_excess, describe_gpu_excess, with_gpus
from tests.search.hardware.faked_gpus import gpus

GIB = 1 << 30
FREE = Allowance(amount=64, present=64)
MEMORY = Allowance(amount=100 * GIB, present=100 * GIB)
QUOTA = Allowance(amount=2, present=64, source="the container's CPU quota, cgroup v2")
LIMIT = Allowance(amount=4 * GIB, present=100 * GIB, source="the container's memory.max, cgroup v2")


def node(cpus: int, gib: int = 1) -> Node:
    machine = Machine(cpus=cpus, memory_bytes=gib * GIB, gpus=())
    return Node(id="a", address="10.0.0.2", machine=machine)


def test_a_node_that_counts_past_its_quota_is_named() -> None:
    assert describe_excess(QUOTA, MEMORY, 64, node(64)) == [
        "Node 10.0.0.2 must offer only the cores that it may use, but offers 64 instead of 2 "
        "(limit of the container's CPU quota, cgroup v2); start Ray there anew with `--num-cpus=2`."
    ]
    (memory,) = describe_excess(FREE, LIMIT, 64, node(64, 70))
    assert f"offers {70 * GIB} instead of {4 * GIB} (limit of the container's memory.max" in memory
    assert len(describe_excess(QUOTA, LIMIT, 64, node(64, 70))) == 2


def test_a_node_that_offers_gpus_that_torch_can_t_use_is_named() -> None:
    there = replace(node(8), machine=replace(node(8).machine, gpus=gpus("L4", "L4")))
    sees = GpuSurvey(
        gpus=gpus("L4", gib=24), faults=("torch must compute on GPU 1, but doesn't; mend that.",)
    )
    assert describe_gpu_excess(sees, there, None) == [
        "Node 10.0.0.2 must offer only GPUs that torch can use there, but offers 2 of which torch "
        "uses 1 (torch must compute on GPU 1, but doesn't); start Ray there anew with "
        "`--num-gpus=1`, or train on cores with --gpus-per-trial 0."
    ]
    assert describe_gpu_excess(GpuSurvey(gpus=gpus("L4", "L4", "L4")), there, None) == []


@pytest.mark.parametrize(
    ("offers", "visible", "usable", "advice"),
    [
        (2, None, "0,1", None),
        (1, None, "0,1", None),
        (2, None, "1", "CUDA_VISIBLE_DEVICES=1 ray start … --num-gpus=1"),  # 0 is too old
        (1, None, "1", "CUDA_VISIBLE_DEVICES=1 ray start … --num-gpus=1"),  # as many, but that one
        (1, "1", "1", None),
        (2, "5,3", "5", "--num-gpus=1"),
        (2, "5, 3", "3", "CUDA_VISIBLE_DEVICES=3 ray start … --num-gpus=1"),
        (1, None, "MIG-a,MIG-b", "CUDA_VISIBLE_DEVICES=MIG-a,MIG-b ray start … --num-gpus=2"),
        (2, "MIG-a,MIG-b", "MIG-a,MIG-b", None),
        (1, None, "", "--num-gpus=0"),
        (0, "", "", None),
    ],
)
def test_ray_must_give_trials_the_gpus_that_torch_can_use(
    offers: int, visible: str | None, usable: str, advice: str | None
) -> None:
    there = replace(node(8), machine=replace(node(8).machine, gpus=gpus(*["L4"] * offers)))
    ids = usable.split(",") if usable else []
    sees = GpuSurvey(gpus=tuple(replace(gpus("L4")[0], id=each) for each in ids))
    found = describe_gpu_excess(sees, there, visible)
    assert [each.partition("`")[2].partition("`")[0] for each in found] == ([advice] * bool(advice))


def test_a_node_s_gpus_are_those_that_torch_has_found_there() -> None:
    """Ray knows the name of one, and no memory."""
    offered = replace(node(8), machine=replace(node(8).machine, gpus=gpus("L4", gib=0)))
    found = gpus("L4", "A100", gib=24)
    assert with_gpus(offered, GpuSurvey(gpus=found), None).machine.gpus == found[:1]


def test_a_fault_of_a_node_s_gpus_counts_only_where_trials_take_them(tmp_path: Path) -> None:
    there = replace(node(8, 64), machine=replace(node(8, 64).machine, gpus=gpus("K80")))
    blind = with_gpus(there, GpuSurvey(faults=("torch must compute on it, but doesn't.",)), None)
    assert blind.machine.gpus == there.machine.gpus
    here = combine_machines([blind, replace(node(4), id="b")])
    for share, refused in (("auto", True), ("0.5", True), ("0", False)):
        options, _ = resolve({"space": "demo", "gpus_per_trial": share, "out": str(tmp_path)})
        errors = find_gpu_errors(options, here, resuming=False)
        assert [each.startswith("Node 10.0.0.2 must offer") for each in errors] == [True] * refused


def test_nodes_may_answer_as_late_as_their_torch_may() -> None:
    assert node_check._PATIENCE_S > PATIENCE_S


@pytest.mark.parametrize(
    ("cores", "counted", "offered"),
    [
        pytest.param(FREE, 64, 64, id="no limit"),
        pytest.param(QUOTA, 2, 2, id="Ray reads the quota itself"),
        pytest.param(QUOTA, 64, 2, id="started with --num-cpus=2"),
        pytest.param(QUOTA, 64, 16, id="another number that somebody has chosen"),
    ],
)
def test_other_nodes_are_taken(cores: Allowance, counted: int, offered: int) -> None:
    assert describe_excess(cores, MEMORY, counted, node(offered)) == []
    assert describe_excess(cores, LIMIT, counted, node(offered, 4)) == []


def test_a_node_s_gpu_that_others_hold_is_named() -> None:
    there = replace(node(8), machine=replace(node(8).machine, gpus=gpus("L4", "L4")))
    sees = GpuSurvey(gpus=gpus("L4"), notes=("GPU 1 (L4) stays idle: others hold it (busy).",))
    (sentence,) = describe_gpu_excess(sees, there, None)
    assert "uses 1 (GPU 1 (L4) stays idle: others hold it (busy)); start" in sentence


def test_notes_on_the_gpus_of_nodes_are_collected_each_once() -> None:
    """Two equal nodes have the same card that others hold; a third offers no GPU at all."""
    held, broken = (f"GPU {n} (L4) stays idle: others hold it (busy)." for n in (1, 2))
    offers = replace(node(8), machine=replace(node(8).machine, gpus=gpus("L4")))

    def noted(address: str, *notes: str, there: Node = offers) -> Node:
        survey = GpuSurvey(gpus=gpus("L4", gib=24), notes=notes)
        return with_gpus(replace(there, address=address), survey, None)

    cluster = [noted("a", held), noted("b", held, broken), noted("c", held, there=node(4))]
    assert combine_machines(cluster).gpu_notes == (f"on a, b: {held}", f"on b: {broken}")
    assert combine_machines(cluster[:1]).gpu_notes == (held,)
