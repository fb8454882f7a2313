import pytest

from search.hardware.allocation import (
    Resources,
    allocate,
    fits,
    seatable,
    trials_asked,
    trials_by_memory,
)
from search.hardware.machine import Machine, detect_machine
from search.hardware.memory import EXTERNAL_BYTES, worker_bytes
from tests.search.hardware.faked_gpus import gpus as faked_gpus
from trainables.config import TrialConfig
from trainables.profiling.gpu_need import GpuNeed

GIB = 1 << 30


def resources(machine, concurrency="auto", per_gpu=1, trials=100, gib=2):
    return allocate(
        machine,
        concurrency=concurrency,
        per_gpu=per_gpu,
        trials=trials,
        worker_bytes=gib * GIB,
    )


@pytest.mark.parametrize(
    ("cpus", "gib", "concurrent", "threads"),
    [(2, 24, 2, 1), (16, 64, 16, 1), (16, 8, 3, 5), (1, 2, 1, 1)],
)
def test_on_cpus_a_trial_a_core_as_far_as_memory_goes(cpus, gib, concurrent, threads):
    found = resources(Machine(cpus=cpus, memory_bytes=gib * GIB, gpus=()))
    assert (found.concurrent, found.threads, found.gpus) == (concurrent, threads, 0.0)


def test_larger_workers_are_fewer():
    here = Machine(cpus=8, memory_bytes=16 * GIB, gpus=())
    found = [resources(here, gib=gib) for gib in (1, 3, 12, 100)]
    assert [r.concurrent for r in found] == [8, 4, 1, 1]
    assert "cores allow" in found[0].why
    assert "memory allows at 3.0 GiB each" in found[1].why


@pytest.mark.parametrize(
    ("network", "image_size", "ema", "measured"),
    [("resnet18", 64, 0.0, 1.27), ("resnet50", 64, 0.0, 1.86), ("resnet18", 224, 0.9, 3.28)],
)
def test_a_worker_is_allowed_what_was_measured_and_not_much_more(
    network, image_size, ema, measured
):
    """GiB at the peak of a process that trained and evaluated it, AdamW, batch 64, float32."""
    config = TrialConfig(network=network, image_size=image_size, ema=ema, batch_size=64)
    assert measured < worker_bytes(config) / GIB < 1.35 * measured


def test_what_a_worker_needs_by_hand():
    large = TrialConfig(network="resnet18", image_size=224, batch_size=128)
    # seven copies of 11.69 M parameters, and 128 × 5.62 M numbers with three quarters more
    assert worker_bytes(large) == GIB + 4 * (7 * 11_690_000 + 224 * 5_620_000)
    assert worker_bytes(large.but(ema=0.9)) - worker_bytes(large) == 4 * 2 * 11_690_000
    half = large.but(image_size=112)
    assert worker_bytes(half) == GIB + 4 * (7 * 11_690_000 + 56 * 5_620_000)
    # without pooling and stride, maps are 16 times as large
    assert worker_bytes(half.but(stem="small")) == GIB + 4 * (7 * 11_690_000 + 896 * 5_620_000)
    # as much as evaluation takes
    assert worker_bytes(large.but(batch_size=4)) == worker_bytes(large.but(batch_size=40))
    assert worker_bytes(large.but(batch_size=64)) > worker_bytes(large.but(batch_size=40))
    assert worker_bytes(TrialConfig(network="timm:anything", batch_size=512)) == EXTERNAL_BYTES


def test_no_more_at_once_than_there_are_trials_and_each_gets_more_threads():
    found = resources(Machine(cpus=8, memory_bytes=64 * GIB, gpus=()), trials=2)
    assert (found.concurrent, found.threads) == (2, 4)


@pytest.mark.parametrize(
    ("asked", "cpus", "gib", "trials", "concurrent", "per_gpu", "why"),
    [
        (1, 16, 256, 100, 4, 1, "up to 1 on each of 4 GPUs"),
        (3, 16, 256, 100, 12, 3, "up to 3 on each of 4 GPUs"),
        (0, 16, 256, 100, 16, 0, "one thread a trial, as many as cores allow"),
        (8, 16, 256, 100, 16, 4, "up to 8 on each of 4 GPUs, as many as cores allow"),
        (8, 16, 16, 100, 4, 1, "up to 8 on each of 4 GPUs, as many as memory allows at 3.0 GiB"),
        (8, 16, 256, 6, 6, 2, "up to 8 on each of 4 GPUs"),
    ],
)
def test_gpus_are_shared_as_far_as_cores_and_memory_go_and_none_stays_empty(
    asked, cpus, gib, trials, concurrent, per_gpu, why
):
    here = Machine(cpus=cpus, memory_bytes=gib * GIB, gpus=faked_gpus(*["A100"] * 4))
    found = resources(here, per_gpu=asked, trials=trials)
    assert (found.concurrent, found.per_gpu) == (concurrent, per_gpu)
    assert found.why.startswith(why)
    assert found.threads == cpus // concurrent


@pytest.mark.parametrize("trials", [1, 2, 3, 7, 13, 15, 17, 26, 34, 51, 67, 100, 101, 150, 10_001])
def test_no_gpu_seats_more_trials_than_were_planned_for_it(trials):
    most = seatable(trials)
    share = Resources(concurrent=1, threads=1, why="", per_gpu=most).gpus
    assert 0 < most <= trials
    assert most == trials or trials > 100
    assert round(10_000 * share) * most <= 10_000 < round(10_000 * share) * (most + 1)


@pytest.mark.parametrize(
    ("option", "trials"),
    [("auto", 1), ("1", 1), ("0.5", 2), ("0.3", 3), ("0.1", 10), ("0.07", 14), ("0.6", 1),
     ("0.0001", 10_000), ("0", 0)],
)  # fmt: skip
def test_a_share_of_a_gpu_is_so_many_trials(option, trials):
    assert trials_asked(option) == trials


@pytest.mark.parametrize(
    ("free", "needed", "images", "trials", "resident"),
    [
        ((40,), 5, 0, 6, True),
        ((40,), 5, 1, 5, True),
        ((80, 24), 5, 1, 3, True),  # the smaller decides
        ((40,), 39, 0, 1, False),  # a trial fits, without the margin
        ((40,), 30, 10, 1, False),  # the images stay outside
        ((40,), 16, 0, 2, True),
    ],
)
def test_a_gpu_is_shared_by_as_many_trials_as_its_free_memory_holds(
    free, needed, images, trials, resident
):
    """The memory of the cards is twice what is free there."""
    there = [gpu for gib in free for gpu in faked_gpus("A", gib=2 * gib, free=gib)]
    need = GpuNeed(needed_bytes=needed * GIB, free_bytes=max(free) * GIB)
    assert trials_by_memory(need, there, images * GIB) == (trials, resident)
    here = Machine(cpus=64, memory_bytes=256 * GIB, gpus=tuple(there))
    assert resources(here, per_gpu=trials).free == {"": 0.5}


def test_a_gpu_that_is_too_small_for_a_trial_doesn_t_fit_and_an_unknown_one_may():
    need = GpuNeed(needed_bytes=10 * GIB, free_bytes=80 * GIB)
    big, small = *faked_gpus("A100", gib=80), *faked_gpus("GT", gib=2)
    (unknown,) = faked_gpus("A", gib=0)
    assert [fits(gpu, need) for gpu in (big, small, unknown)] == [True, False, True]
    assert trials_by_memory(need, [unknown], 0) == (6, True)


def test_what_is_asked_for_is_what_happens():
    here = Machine(cpus=2, memory_bytes=24 * GIB, gpus=())
    assert resources(here, concurrency="5").concurrent == 5
    assert resources(here, concurrency="5").threads == 1


@pytest.mark.parametrize(
    ("asked", "concurrent", "why"),
    [("8", 4, "of 8 asked for, up to 2 on each of 2 GPUs"), ("3", 3, "as asked")],
)
def test_trials_that_were_asked_for_and_find_no_gpu_are_named(asked, concurrent, why):
    here = Machine(cpus=16, memory_bytes=64 * GIB, gpus=faked_gpus("L4", "L4"))
    found = resources(here, concurrency=asked, per_gpu=2)
    assert (found.concurrent, found.why) == (concurrent, why)


def test_this_machine_has_cores_and_memory():
    assert detect_machine().cpus >= 1
    assert detect_machine().memory_bytes > 1 << 28
