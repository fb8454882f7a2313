"""Whether what a GPU computes is right, and whether memory is as promised.

Every figure counts or measures what is wrong, so that its goal is 0 or little.
"""

import warnings
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datasets.loading.loader import batches
from datasets.loading.resident import resident_batches
from results.records import EpochMetrics
from tests.benchmarks.gpu import card_memory
from tests.benchmarks.gpu.bench import Bench, Wanted, pick
from tests.benchmarks.gpu.training import (
    CUDA,
    DEVICE,
    USUAL,
    Training,
    config,
    endless,
    mib,
    random_batch,
)
from tests.benchmarks.measure import Goal
from trainables.models.setup import new_network
from trainables.train import train
from trainables.training.batches import BatchFeeder
from trainables.training.evaluate import Evaluator, evaluation_batch

NONE = Goal(limit=0)
STEPS = 4
VARIETIES: dict[str, dict[str, Any]] = {
    "nothing": {}, "flip, crop, cutout": USUAL, "MixUp": {"mixup_alpha": 0.2},
    "CutMix": {"cutmix_alpha": 1.0}, "TrivialAugment": {"policy": "trivial"},
    "RandAugment": {"policy": "rand"}, "averaged weights": {"ema": 0.999},
    "224 px": {"image_size": 224},
}  # fmt: skip
"""What a training may do beside training: label -> fields of its configuration."""


@contextmanager
def _host_waits(places: Counter[str]) -> Iterator[None]:
    """Counts, by line, the operations of the block that make the host wait for the GPU."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if CUDA:
            torch.cuda.set_sync_debug_mode("warn")
        yield
        if CUDA:
            torch.cuda.set_sync_debug_mode("default")
    for each in caught:
        if "called a synchronizing CUDA operation" in str(each.message):
            places[f"{Path(each.filename).name}:{each.lineno}"] += 1


def host_waits(bench: Bench) -> Iterator[Wanted]:
    for label, changes in VARIETIES.items():
        for where, resident in (("on the GPU", True), ("streamed", False)):
            name = f"host waits a step, {label}, images {where}"
            make = partial(_waits_of_steps, bench, changes, resident)
            yield Wanted(name, "waits", make, NONE)
    make = partial(_waits_of_evaluation, bench)
    # An evaluation's end reads its result.
    yield Wanted("host waits a batch of an evaluation", "waits", make, Goal(limit=0.5))


def _waits_of_steps(bench: Bench, changes: dict[str, Any], resident: bool) -> dict[str, Any]:
    training = Training(config(bench, **changes), bench.data.images)
    feeder, places = BatchFeeder(device=DEVICE, resident=resident), Counter[str]()
    with closing(endless(bench, feeder, training.config.batch_size)) as source:
        for _ in range(STEPS):  # the first ones make what is made once
            training.step(*next(source))
        with _host_waits(places):
            for _ in range(STEPS):
                training.step(*next(source))
    return {"value": sum(places.values()) / STEPS, "places": dict(places)}


def _waits_of_evaluation(bench: Bench) -> dict[str, Any]:
    training, val = Training(config(bench), bench.data.images), bench.data.val
    feeder, places = BatchFeeder(device=DEVICE), Counter[str]()
    evaluator = Evaluator(training.network, bench.data.images, training.config, feeder)
    evaluator.evaluate(val)
    with _host_waits(places):
        evaluator.evaluate(val)
    count = -(-len(val) // evaluation_batch(training.config, DEVICE))
    return {"value": sum(places.values()) / count, "places": dict(places)}


def loaders(bench: Bench) -> Iterator[Wanted]:
    for where in ("on the GPU", "streamed"):
        for batch_size in (64, 500):
            name = f"wrong batches of {batch_size}, images {where}"
            make = partial(_wrong_batches, bench, where == "on the GPU", batch_size)
            yield Wanted(name, "batches", make, NONE)


def _wrong_batches(bench: Bench, resident: bool, batch_size: int) -> dict[str, Any]:
    """Compares an epoch with the plain loader's, while the GPU has work queued."""
    order = {"order_seed": 7, "drop_last": False}
    if resident:
        found = resident_batches(bench.data.train, batch_size, **order, device=DEVICE)
    else:
        feeder = BatchFeeder(device=DEVICE, resident=False)
        found = feeder.batches(bench.data.train, batch_size, **order)
    plain = batches(bench.data.train, batch_size, **order)
    queued = torch.randn(bench.few(4096, 16), bench.few(4096, 16), device=DEVICE)
    wrong = torch.zeros((), dtype=torch.int64, device=DEVICE)
    count = 0
    with closing(found), closing(plain):
        for (pixels, labels), (expected, numbers) in zip(found, plain, strict=True):
            queued = queued @ queued / queued.norm()
            same = (pixels == expected.to(DEVICE)).all() & (labels == numbers.to(DEVICE)).all()
            wrong, count = wrong + ~same, count + 1
    return {"value": int(wrong), "batches": count}


def repeats(bench: Bench) -> Iterator[Wanted]:
    for how, deterministic in (("as trained by default", False), ("deterministic", True)):
        found = cache(partial(bench.in_child, differences, deterministic))
        for what in ("an equal training", "images streamed", "a resumed training"):
            name = f"difference of the last loss, {what}, {how}"
            yield Wanted(name, "", partial(pick, found, what), NONE if deterministic else None)


def differences(bench: Bench, deterministic: bool) -> dict[str, float]:
    """How far a training's last loss lies from those of others that should be equal."""
    changes = {**USUAL, "mixup_alpha": 0.2, "dropout": 0.2, "ema": 0.99}
    trial, data = config(bench, **changes, deterministic=deterministic), bench.every(45)
    loss = _loss(train(trial, data))
    path = bench.work / "resumed.pt"
    running = train(trial, data, checkpoint=path, on_saved=lambda _: None)
    next(running)
    next(running)  # only now is the first epoch's checkpoint written
    running.close()
    others = {
        "an equal training": train(trial, data),
        "images streamed": train(trial, data, resident=False),
        "a resumed training": train(trial, data, path),
    }
    return {what: abs(_loss(other) - loss) for what, other in others.items()}


def _loss(epochs: Iterator[EpochMetrics]) -> float:
    """Trains to the end, and returns the last epoch's loss."""
    *_, last = epochs
    assert last.train_loss is not None
    return last.train_loss


def against_cpu(bench: Bench) -> Iterator[Wanted]:
    for how, precision, tf32, limit in (
        ("float32 without TF32", "float32", False, 1e-5),
        ("float32 as trained", "float32", True, 1e-3),
        ("bfloat16", "bfloat16", True, 1e-2),
    ):
        name = f"relative difference of weights from the CPU's after three steps, {how}"
        make = partial(_difference_from_cpu, bench, precision, tf32)
        yield Wanted(name, "", make, Goal(limit=limit))


def _difference_from_cpu(bench: Bench, precision: str, tf32: bool) -> dict[str, Any]:
    trial = config(bench, precision=precision, optimizer="sgd", lr=0.01, batch_size=16)
    before = torch.backends.cudnn.allow_tf32
    try:
        cpu, gpu = (
            _weights_after_three(bench, trial, d, tf32) for d in (torch.device("cpu"), DEVICE)
        )
    finally:
        torch.backends.cudnn.allow_tf32 = before
    return {"value": float((cpu - gpu).norm() / cpu.norm())}


def _weights_after_three(bench: Bench, trial: Any, device: torch.device, tf32: bool) -> Tensor:
    """The weights as one vector on the CPU; without augmentation, whose draws differ by device."""
    training = Training(trial, bench.data.images, device)
    torch.backends.cudnn.allow_tf32 = tf32  # after the settings of a training
    torch.manual_seed(1)
    for _ in range(3):
        pixels, labels = random_batch(trial, bench.data.images, torch.device("cpu"))
        training.step(pixels.to(device), labels.to(device))
    return torch.cat([p.detach().float().cpu().flatten() for p in training.network.parameters()])


def memory_after_a_trial(bench: Bench) -> Iterator[Wanted]:
    found = cache(partial(bench.in_child, left_memory))
    for how in ("ended", "stopped", "failed"):
        name = f"memory that a trial leaves after it {how}"
        # The goal leaves cuBLAS its workspace.
        yield Wanted(name, "MiB", partial(pick, found, how), Goal(limit=64))


def left_memory(bench: Bench) -> dict[str, dict[str, Any]]:
    """What torch has allocated after trials that end in different ways, and whether their networks
    are still alive.
    """
    trial, data, found = config(bench), bench.every(45), {}
    for how in ("ended", "stopped", "failed"):
        network = new_network(trial, len(data.images.class_ids), DEVICE)
        alive = weakref.ref(network)
        running = train(trial, data, network=network, resident=False)
        del network
        next(running)
        if how == "ended":
            list(running)
        elif how == "stopped":
            running.close()
        else:
            with suppress(RuntimeError):
                running.throw(RuntimeError("made up"))
        del running
        left, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
        found[how] = {"value": mib(left), "reserved_mib": mib(reserved),
                      "alive": alive() is not None}  # fmt: skip
    return found


SECTIONS = (host_waits, loaders, repeats, against_cpu, memory_after_a_trial,
            card_memory.needed, card_memory.full_card, card_memory.micro_batches)  # fmt: skip
