"""Whether what a GPU computes is right, and whether memory is as promised.

Every figure counts or measures what is wrong, so that its goal is 0 or little.
"""

import warnings
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

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
from tests.benchmarks.measure import BenchmarkError, Goal
from trainables.augmentation.batch import for_training
from trainables.models.inference import evaluation_batch
from trainables.models.setup import new_network
from trainables.profiling.capture_gain import TOLERANCE
from trainables.profiling.captured_steps import measure_capture
from trainables.train import train
from trainables.training.batches import BatchFeeder
from trainables.training.evaluate import Evaluator
from trainables.training.step_graph import WARM_UP

NONE = Goal(limit=0)
STEPS = WARM_UP + 3
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
    # Resident images are those of a search on a large GPU, which captures steps.
    training = Training(config(bench, **changes), bench.data.images, captured=resident)
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


OTHERS = ("an equal training", "images streamed", "a resumed training", "one operation at a time")
"""What is compared with a training whose steps are captured."""


def repeats(bench: Bench) -> Iterator[Wanted]:
    for how, deterministic in (("as trained by default", False), ("deterministic", True)):
        found = cache(partial(bench.in_child, differences, deterministic))
        for what in OTHERS:
            name = f"difference of the last loss, {what}, {how}"
            yield Wanted(name, "", partial(pick, found, what), NONE if deterministic else None)


def differences(bench: Bench, deterministic: bool) -> dict[str, float]:
    """How far a training's last loss lies from those of others that should be equal."""
    changes = {**USUAL, "mixup_alpha": 0.2, "dropout": 0.2, "ema": 0.99}
    trial, data = config(bench, **changes, deterministic=deterministic), bench.every(45)
    captures = partial(train, trial, data, captured=True)
    loss = _loss(captures())
    path = bench.work / "resumed.pt"
    running = captures(checkpoint=path, on_saved=lambda _: None)
    next(running)
    next(running)  # only now is the first epoch's checkpoint written
    running.close()
    others = {
        "an equal training": captures(),
        "images streamed": captures(resident=False),
        "a resumed training": captures(resume=path),
        "one operation at a time": train(trial, data),
    }
    return {what: abs(_loss(other) - loss) for what, other in others.items()}


def _loss(epochs: Iterator[EpochMetrics]) -> float:
    """Trains to the end, and returns the last epoch's loss."""
    *_, last = epochs
    assert last.train_loss is not None
    return last.train_loss


def against_cpu(bench: Bench) -> Iterator[Wanted]:
    """A random network amplifies rounding: after three steps, inputs that differ by 10⁻⁷ of their
    values give weights that differ by 10⁻³ of theirs, on one CPU. So one step is compared, and the
    measure is how far the CPU itself lies from float64.
    """
    # TF32 alone has 2¹³ times the rounding error of float32.
    for how, precision, tf32, beside, limit in (
        ("float32 without TF32", "float32", False, "float32", 10),
        ("float32 as trained, in bfloat16", "float32", True, "bfloat16", 2),
        ("bfloat16", "bfloat16", True, "bfloat16", 2),
    ):
        name = f"error of a step from float64, against the CPU's, {how}"
        make = partial(_error_against_cpu, bench, precision, tf32, beside)
        yield Wanted(name, "×", make, Goal(limit=limit))


def _error_against_cpu(bench: Bench, precision: str, tf32: bool, beside: str) -> dict[str, Any]:
    trial = config(bench, precision=precision, optimizer="sgd", lr=0.01, batch_size=16)
    before = torch.backends.cudnn.allow_tf32
    try:
        gpu = _weights_after_step(bench, trial, DEVICE, tf32)
    finally:
        torch.backends.cudnn.allow_tf32 = before
    cpu = _weights_after_step(bench, trial.but(precision=beside), torch.device("cpu"), tf32)
    exact = _exact_weights_after_step(bench, trial)
    errors = [float((found - exact).norm() / exact.norm()) for found in (gpu, cpu)]
    return {"value": errors[0] / errors[1], "gpu_error": errors[0], "cpu_error": errors[1]}


def _weights_after_step(bench: Bench, trial: Any, device: torch.device, tf32: bool) -> Tensor:
    """The weights as one vector on the CPU; without augmentation, whose draws differ by device."""
    training = Training(trial, bench.data.images, device)
    torch.backends.cudnn.allow_tf32 = tf32  # after the settings of a training
    pixels, labels = _same_batch(bench, trial)
    training.step(pixels.to(device), labels.to(device))
    return _vector(training.network)


def _exact_weights_after_step(bench: Bench, trial: Any) -> Tensor:
    """The weights after such a step of plain gradient descent in float64."""
    network = Training(trial, bench.data.images, torch.device("cpu")).network.double()
    batch, labels = for_training(*_same_batch(bench, trial), trial, bench.data.images)
    cross_entropy(network(batch.double()), labels).backward()
    with torch.no_grad():
        for p in network.parameters():
            p -= trial.lr * p.grad
    return _vector(network)


def _same_batch(bench: Bench, trial: Any) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return random_batch(trial, bench.data.images, torch.device("cpu"))


def _vector(network: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().double().cpu().flatten() for p in network.parameters()])


def captured(bench: Bench) -> Iterator[Wanted]:
    cases = {**VARIETIES, "SGD": {"optimizer": "sgd", "momentum": 0.9},
             "float32": {"precision": "float32"},
             "float16": {"precision": "float16"}, "pieces": {"micro_batch_size": 16},
             "frozen stages": {"freeze_depth": 3}, "dropout": {"dropout": 0.3}}  # fmt: skip
    for label, changes in cases.items() if CUDA else ():
        name = f"difference of weights after captured steps, {label}"
        make = partial(_difference_captured, bench, changes)
        yield Wanted(name, "", make, Goal(limit=TOLERANCE))


def _difference_captured(bench: Bench, changes: dict[str, Any]) -> dict[str, Any]:
    gain = measure_capture(config(bench, **changes), DEVICE)
    if not gain.captured_images_per_s:
        raise BenchmarkError("The step wasn't captured.")
    found = asdict(gain)
    return {"value": found.pop("difference"), **found}


def memory_after_a_trial(bench: Bench) -> Iterator[Wanted]:
    found = cache(partial(bench.in_child, left_memory))
    for how in ("ended", "stopped", "failed"):
        name = f"memory that a trial leaves after it {how}"
        # On a card of capability 9, cuBLAS and cuBLASLt keep workspaces of 32 MiB each.
        yield Wanted(name, "MiB", partial(pick, found, how), Goal(limit=72))


def left_memory(bench: Bench) -> dict[str, dict[str, Any]]:
    """What torch has allocated after trials that end in different ways, and whether their networks
    are still alive.
    """
    trial, data, found = config(bench), bench.every(45), {}
    for how in ("ended", "stopped", "failed"):
        network = new_network(trial, len(data.images.class_ids), DEVICE)
        alive = weakref.ref(network)
        running = train(trial, data, network=network, resident=False, captured=True)
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


SECTIONS = (host_waits, captured, loaders, repeats, against_cpu, memory_after_a_trial,
            card_memory.needed, card_memory.full_card, card_memory.micro_batches)  # fmt: skip
