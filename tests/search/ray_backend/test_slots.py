"""How trials are spread over a cluster's nodes, and over those that come and go."""

import pytest

from search.hardware.allocation import allocate_nodes
from search.hardware.machine import Machine, Node, combine_machines
from search.ray_backend.slots import Slots
from search.ray_backend.task import Placement
from tests.search.hardware.faked_gpus import gpus as faked_gpus

GIB = 1 << 30


def node(name, cpus, gib=256, gpus=0):
    machine = Machine(cpus=cpus, memory_bytes=gib * GIB, gpus=faked_gpus(*["A100"] * gpus))
    return Node(id=name, address="10.0.0.1", machine=machine)


CPU, ONE_GPU, EIGHT_GPUS = node("c", 16, 64), node("g", 4, 16, 1), node("h", 96, 1000, 8)
MIXED = (CPU, ONE_GPU, EIGHT_GPUS)


def shared(nodes, concurrency="auto", per_gpu=1, trials=1000, gib=2, **more):
    return allocate_nodes(
        nodes,
        concurrency=concurrency,
        per_gpu=per_gpu,
        trials=trials,
        worker_bytes=gib * GIB,
        **more,
    )


def summary(resources):
    return [(kind.concurrent, kind.threads, kind.gpus) for kind in resources.kinds]


@pytest.mark.parametrize(
    ("nodes", "asked", "kinds"),
    [
        (MIXED, {}, [(9, 4, 1.0), (16, 1, 0.0)]),
        (MIXED, {"per_gpu": 2}, [(18, 2, 0.5), (16, 1, 0.0)]),
        (MIXED, {"gpus_only": True}, [(9, 4, 1.0)]),
        (MIXED, {"per_gpu": 0}, [(116, 1, 0.0)]),
        (MIXED, {"concurrency": "12"}, [(9, 4, 1.0), (3, 5, 0.0)]),
        (MIXED, {"trials": 5}, [(5, 4, 1.0)]),
        ((ONE_GPU,), {"per_gpu": 4}, [(4, 1, 0.25)]),
        ((CPU, node("d", 2, 64)), {}, [(18, 1, 0.0)]),
        ((CPU, node("d", 2, 64)), {"concurrency": "40"}, [(40, 1, 0.0)]),
    ],
)
def test_each_node_is_used_for_what_it_has(nodes, asked, kinds):
    assert summary(shared(nodes, **asked)) == kinds


@pytest.mark.parametrize(
    ("cores", "per_gpu", "trials", "kind"),
    [
        ((16, 1), 4, 100, (5, 1, 1 / 4)),  # four and one: with 3 a GPU, only four would be seated
        ((4, 16), 6, 100, (10, 1, 1666 / 10_000)),
        ((4, 16), 8, 100, (12, 1, 1 / 8)),
        ((4, 16), 8, 6, (6, 1, 3333 / 10_000)),
        ((4, 16), 8, 4, (4, 2, 1 / 2)),  # fewer share a GPU, and have more threads
    ],
)
def test_unequal_nodes_seat_all_trials_that_are_planned(cores, per_gpu, trials, kind):
    nodes = [node(str(n), cpus, gpus=1) for n, cpus in enumerate(cores)]
    found = shared(nodes, per_gpu=per_gpu, trials=trials)
    assert summary(found) == [kind]
    slots = Slots(found, lambda: nodes)
    assert sum(slots.take(str(key)) is not None for key in range(100)) >= found.concurrent


def test_memory_is_counted_on_each_node_and_idle_cores_become_threads():
    small, large = node("s", 16, 8), node("l", 16, 64)
    # four trials of 2 GiB on the one, on the other as many as have cores
    found = shared((small, large))
    assert summary(found) == [(20, 1, 0.0)]
    assert found.memory_bytes == 2 * GIB
    assert summary(shared((small, small))) == [(8, 4, 0.0)]


def test_an_estimate_above_a_nodes_memory_lets_a_trial_run_there_all_the_same():
    found = shared((node("s", 4, 1), node("l", 4, 64)), gib=3)
    assert (found.memory_bytes, found.at_once) == (GIB, 5)


def test_all_hardware_together():
    found = combine_machines(MIXED)
    assert (found.cpus, found.memory_bytes) == (116, 1080 * GIB)
    assert [gpu.name for gpu in found.gpus] == ["A100"] * 9


def test_seats_are_taken_on_gpus_first_and_given_back():
    slots = Slots(shared((CPU, ONE_GPU)), lambda: (CPU, ONE_GPU))
    taken = [slots.take(str(key)) for key in range(18)]
    assert [slot and slot.gpus for slot in taken] == [1.0] + 16 * [0.0] + [None]
    slots.release("0")
    assert slots.take("18").gpus == 1.0


def test_trials_on_cores_leave_the_cores_beside_gpus_alone():
    slots = Slots(shared((CPU, ONE_GPU)), lambda: (CPU, ONE_GPU))
    on_gpu, on_cores = slots.take("a"), slots.take("b")
    assert slots.place(on_gpu) == Placement(
        threads=4, gpus=1.0, per_gpu=1, free={"": 1.0}, memory_bytes=3 * GIB
    )
    assert slots.place(on_cores) == Placement(
        threads=1, memory_bytes=2 * GIB, apart_from=("g",)
    )  # fmt: skip


def test_nodes_that_come_bring_seats_and_those_that_go_take_them():
    there = [ONE_GPU]
    slots = Slots(shared((ONE_GPU, CPU)), lambda: tuple(there))
    assert slots.take("a").gpus == 1.0
    assert slots.take("b") is None
    there.append(EIGHT_GPUS)
    assert [slots.take(key).gpus for key in "cdefghij"] == 8 * [1.0]
    assert slots.take("k") is None
    there.append(CPU)
    assert slots.take("k").gpus == 0.0
    there.clear()
    slots.release("a")
    assert slots.take("l") is None


def test_a_trial_whose_kind_of_node_is_gone_moves_to_the_other():
    there = [CPU, ONE_GPU]
    slots = Slots(shared((CPU, ONE_GPU)), lambda: tuple(there))
    assert slots.take("a").gpus == 1.0
    there.remove(ONE_GPU)
    assert slots.again("a").gpus == 0.0
    there.append(ONE_GPU)
    assert slots.take("b").gpus == 1.0
    assert slots.again("b").gpus == 1.0  # its kind is there still


def test_trials_asked_for_wait_for_nodes_to_come():
    """So that an autoscaler hears of them."""
    slots = Slots(shared((CPU,), concurrency="20"), lambda: (CPU,), asked=True)
    assert [slots.take(str(key)) is not None for key in range(21)] == 20 * [True] + [False]
    few = Slots(shared(MIXED, concurrency="2"), lambda: MIXED, asked=True)
    assert [few.take(str(key)) is not None for key in range(3)] == [True, True, False]


def test_a_machine_that_stays_has_the_seats_that_it_was_given():
    slots = Slots(shared((CPU,), trials=2))
    assert [slots.take(key) is not None for key in "abc"] == [True, True, False]
    assert not slots.on_cluster
