import pytest

from search.hardware.allocation import allocate, gpu_share
from search.hardware.machine import Machine, detect_machine
from search.hardware.memory import EXTERNAL_BYTES, worker_bytes
from trainables.config import TrialConfig

GIB = 1 << 30


def resources(machine, concurrency="auto", gpus_per_trial="auto", trials=100, gib=2):
    return allocate(
        machine,
        concurrency=concurrency,
        gpus_per_trial=gpus_per_trial,
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
    assert worker_bytes(large.but(batch_size=4)) == worker_bytes(large.but(batch_size=64))
    assert worker_bytes(TrialConfig(network="timm:anything", batch_size=512)) == EXTERNAL_BYTES


def test_no_more_at_once_than_there_are_trials_and_each_gets_more_threads():
    found = resources(Machine(cpus=8, memory_bytes=64 * GIB, gpus=()), trials=2)
    assert (found.concurrent, found.threads) == (2, 4)


@pytest.mark.parametrize(
    ("gpus_per_trial", "concurrent", "share_of_each"),
    [
        ("auto", 4, 1.0),
        ("0.5", 8, 0.5),
        ("0.3", 12, 0.3),
        ("0.1", 16, 0.1),
        ("2", 2, 2.0),
        ("0", 16, 0.0),
    ],
)
def test_on_gpus_whole_trials_fit_each_device(gpus_per_trial, concurrent, share_of_each):
    here = Machine(cpus=16, memory_bytes=256 * GIB, gpus=("A100",) * 4)
    found = resources(here, gpus_per_trial=gpus_per_trial)
    assert (found.concurrent, found.gpus) == (concurrent, share_of_each)


@pytest.mark.parametrize(
    ("needed", "total", "trials"), [(5, 40, 6), (3, 40, 11), (39, 40, 1), (80, 40, 1), (16, 40, 2)]
)
def test_a_gpu_is_shared_by_as_many_trials_as_fit_with_a_margin(needed, total, trials):
    fraction = gpu_share(needed * GIB, total * GIB)
    assert int(1 / fraction) == trials
    assert trials * fraction <= 1
    assert trials == 1 or trials * needed * 1.2 <= total


def test_what_is_asked_for_is_what_happens():
    here = Machine(cpus=2, memory_bytes=24 * GIB, gpus=())
    assert resources(here, concurrency="5").concurrent == 5
    assert resources(here, concurrency="5").threads == 1


def test_this_machine_has_cores_and_memory():
    assert detect_machine().cpus >= 1
    assert detect_machine().memory_bytes > 1 << 28
