"""How fast a card trains, evaluates, augments and loads, and what would make it faster.

A step has three times: `ms` in all, `launch_ms` until Python has it back, `kernels_ms` added up on
the GPU. Steps of this version and of another checkout are measured in turn, a process a side.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from datasets.loading.loader import Batches, batches
from datasets.loading.resident import resident_batches
from tests.benchmarks import loader_side, measure
from tests.benchmarks.gpu.bench import Bench, Wanted, pick
from tests.benchmarks.gpu.busy import BusyShare
from tests.benchmarks.gpu.card_report import BESIDE
from tests.benchmarks.gpu.correct import VARIETIES
from tests.benchmarks.gpu.training import (
    CUDA,
    DEVICE,
    USUAL,
    Training,
    config,
    random_batch,
    reserved_mib,
    synchronize,
    time_calls,
)
from trainables.augmentation.batch import for_training
from trainables.train import train
from trainables.training.batches import BatchFeeder
from trainables.training.evaluate import Evaluator

STEPS = (("resnet18", 64, 64), ("resnet18", 64, 256), ("resnet18", 128, 64), ("resnet18", 224, 64),
         ("resnet50", 64, 64), ("resnet50", 128, 64), ("resnet50", 224, 64))  # fmt: skip
"""Networks, image sizes and batch sizes of the steps that are compared with another checkout's."""


def steps(bench: Bench) -> Iterator[Wanted]:
    """All steps of one side come from one process; the sides alternate from round to round."""
    cases = {}
    for network, side, batch_size in bench.few(STEPS, STEPS[:1]):
        trial = config(bench, network=network, image_size=side, batch_size=batch_size, **USUAL)
        fields = trial.to_dict()
        fields.pop("deterministic", None)  # commit 1ba3fe8 has no such field, and no float16
        if trial.precision == "float16":
            fields["precision"] = "float32"
        cases[f"step of {network}, {side} px, batch {batch_size}"] = fields
    for which, checkout in {"": measure.ROOT, f", {BESIDE}": bench.beside}.items():
        if checkout:
            found = cache(partial(_steps_of, bench, checkout, cases))
            for name in cases:
                yield Wanted(name + which, "ms", partial(pick, found, name))


def _steps_of(bench: Bench, checkout: Path, cases: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of every case in a checkout."""
    script, seconds = Path(__file__).with_name("step_side.py"), str(bench.few(1.0, 0.1))
    command = ["-P", script, seconds, DEVICE.type, json.dumps(cases)]
    _, out = measure.run(command, cwd=checkout, env={"PYTHONPATH": str(checkout)})
    times = measure.last_json(out)
    return {name: {"value": ms, "checkout": checkout.name} for name, ms in times.items()}


def variants(bench: Bench) -> Iterator[Wanted]:
    """What compiles takes a minute, and is measured for the first step alone."""
    cases = bench.few((STEPS[0], ("resnet18", 64, 512), ("resnet50", 128, 64)), STEPS[:1])
    for network, side, batch_size in cases:
        trial = config(bench, network=network, image_size=side, batch_size=batch_size, **USUAL)
        made: dict[str, Callable[[], Callable[[], object]]] = {
            "one operation at a time": partial(_steps, bench, trial)
        }
        if CUDA:
            made |= {
                "with cuDNN's autotuner": partial(_steps, bench, trial, autotune=True),
                "one CUDA graph": partial(_steps, bench, trial, captured=True),
            }
        if CUDA and (network, side, batch_size) == STEPS[0]:
            made["compile=true"] = partial(_steps, bench, trial.but(compile=True))
        for label, make in made.items():
            name = f"step of {network}, {side} px, batch {batch_size}, {label}"
            yield Wanted(name, "ms", partial(_time_variant, bench, make))


def _time_variant(bench: Bench, make: Callable[[], Callable[[], object]]) -> dict[str, Any]:
    benchmarked = torch.backends.cudnn.benchmark
    try:
        found = time_calls(make(), bench.few(1.0, 0.1))
    finally:
        torch.backends.cudnn.benchmark = benchmarked
        if CUDA:
            torch.compiler.reset()
    return {"value": found.pop("ms"), **found, "reserved_mib": reserved_mib()}


def _steps(
    bench: Bench, trial: Any, *, autotune: bool = False, captured: bool = False
) -> Callable[[], object]:
    training = Training(trial, bench.data.images, captured=captured)
    batch = random_batch(trial, bench.data.images)
    torch.backends.cudnn.benchmark = autotune
    return lambda: training.step(*batch)


ONE_BY_ONE = "ResNet-18 at 64 px, one operation at a time"


def epochs(bench: Bench) -> Iterator[Wanted]:
    cases: dict[str, dict[str, Any]] = {
        "ResNet-18 at 64 px": {}, ONE_BY_ONE: {}, "ResNet-50 at 64 px": {"network": "resnet50"},
        "ResNet-18, MixUp and averaged weights": {"mixup_alpha": 0.2, "ema": 0.999},
        "ResNet-18, TrivialAugment": {"policy": "trivial"},
        "ResNet-18, batch 512": {"batch_size": 512},
    }  # fmt: skip
    for label, changes in list(cases.items())[: bench.few(None, 1)]:
        trial = config(bench, **USUAL, **changes)
        for where, resident in (("on the GPU", True), ("streamed", False)):
            name = f"training in epochs, {label}, images {where}"
            make = partial(_train_two, bench, trial, resident, label != ONE_BY_ONE)
            yield Wanted(name, "images/s", make)


def _train_two(bench: Bench, trial: Any, resident: bool, captured: bool) -> dict[str, Any]:
    """The second epoch's rate: the first one also reads the images onto the GPU."""
    with BusyShare() as busy:
        first, last = train(trial, bench.data, resident=resident, captured=captured)
    return {
        "value": last.images_per_s,
        "train_s": last.train_s,
        "evaluation_s": last.wall_s - last.train_s,
        "loading_s": last.loading_s,
        "first_epoch_s": first.wall_s,
        **busy.percent(),
    }


def evaluations(bench: Bench) -> Iterator[Wanted]:
    for network, side in bench.few((("resnet18", 64), ("resnet50", 128)), (("resnet18", 64),)):
        for at_once in (None, *bench.few((128, 256, 512), (8,))):
            # Pieces also bound what is evaluated at once.
            trial = config(bench, network=network, image_size=side, micro_batch_size=at_once)
            name = f"evaluation, {network}, {side} px, {at_once or 'by default'} at once"
            make = partial(_evaluate, bench, trial)
            yield Wanted(name, "images/s", make)


def _evaluate(bench: Bench, trial: Any) -> dict[str, Any]:
    network = Training(trial, bench.data.images).network
    evaluator = Evaluator(network, bench.data.images, trial, BatchFeeder(device=DEVICE))
    found = time_calls(lambda: evaluator.evaluate(bench.data.val), bench.few(1.0, 0.1), warm=1)
    return {"value": 1000 * len(bench.data.val) / found["ms"]}


def loaders(bench: Bench) -> Iterator[Wanted]:
    order = {"drop_last": True}
    train_split = bench.data.train
    streamed = BatchFeeder(device=DEVICE, resident=False)
    for size in bench.few((64, 512), (8,)):
        ways: dict[str, Callable[[int], Batches]] = {
            "FFCV, on the CPU": lambda n, s=size: batches(train_split, s, order_seed=n, **order),
            "streamed to the GPU": lambda n, s=size: streamed.batches(
                train_split, s, order_seed=n, **order
            ),
            "from the GPU's memory": lambda n, s=size: resident_batches(
                train_split, s, order_seed=n, **order, device=DEVICE
            ),
        }
        for label, way in ways.items():
            name = f"loading, {label}, batches of {size}"
            make = partial(_load, bench, way)
            yield Wanted(name, "images/s", make)


def _load(bench: Bench, way: Callable[[int], Batches]) -> dict[str, Any]:
    def whole(number: int) -> Batches:
        with closing(way(number)) as source:
            yield from source
        synchronize()

    return {"value": loader_side.rate(whole, bench.few(2.0, 0.1))}


def augmentations(bench: Bench) -> Iterator[Wanted]:
    for label, changes in VARIETIES.items():
        name = f"augmentation of a batch, {label}"
        make = partial(_augment, bench, config(bench, **changes))
        yield Wanted(name, "ms", make)


def _augment(bench: Bench, trial: Any) -> dict[str, Any]:
    batch = random_batch(trial, bench.data.images)
    found = time_calls(lambda: for_training(*batch, trial, bench.data.images), bench.few(0.5, 0.05))
    return {"value": found.pop("ms"), **found}


SECTIONS = (steps, variants, epochs, evaluations, augmentations, loaders)
