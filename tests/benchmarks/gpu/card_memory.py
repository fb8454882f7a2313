"""What a trial needs of a card's memory, and what happens where there is too little of it.

Only a GPU shows these. Each measurement has processes of its own, which begin with an empty card.
"""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from ray._private.thirdparty import pynvml

from tests.benchmarks import measure
from tests.benchmarks.gpu.bench import Bench, Wanted
from tests.benchmarks.gpu.training import (
    CUDA,
    DEVICE,
    Training,
    config,
    mib,
    random_batch,
    reserved_mib,
)
from tests.benchmarks.measure import Goal
from trainables.train import train
from trainables.training.memory import out_of_memory
from trainables.training.micro_batches import halve_micro_batch

NEEDS: dict[str, dict[str, Any]] = {
    "ResNet-18 at 64 px": {}, "ResNet-18 at 64 px, float32": {"precision": "float32"},
    "ResNet-50 at 128 px": {"network": "resnet50", "image_size": 128},
    "ResNet-50 at 224 px in pieces of 16": {
        "network": "resnet50", "image_size": 224, "micro_batch_size": 16, "batch_size": 128,
    },
    "ResNet-50 at 128 px, frozen but for the head": {
        "network": "resnet50", "image_size": 128, "freeze_depth": 5,
    },
}  # fmt: skip
LEFT_MIB = (3000, 1000, 600, 300, 100)
SMALL_CARD_BYTES = 16 << 30


def needed(bench: Bench) -> Iterator[Wanted]:
    for label, changes in NEEDS.items() if CUDA else ():
        name = f"memory that a trial takes, against what is predicted, {label}"
        make = partial(_taken_against_predicted, bench, changes)
        yield Wanted(name, "×", make, Goal(limit=1))


def _taken_against_predicted(bench: Bench, changes: dict[str, Any]) -> dict[str, Any]:
    predicted = bench.in_child(predicted_mib, changes)["value"]
    taken = bench.in_child(taken_mib, changes)
    return {"value": taken["value"] / predicted, "predicted_mib": predicted, "taken": taken}


def predicted_mib(bench: Bench, changes: dict[str, Any]) -> dict[str, float]:
    """What the search would count for a trial whose images are streamed."""
    from trainables.profiling.gpu_memory import measure_need

    need = measure_need(
        config(bench, **changes), DEVICE, freezes="freeze_depth" in changes, captured=True
    )
    return {"value": mib(need.needed_bytes)}


def taken_mib(bench: Bench, changes: dict[str, Any]) -> dict[str, float]:
    """What the card lacks while it trains and evaluates: torch's peak, CUDA itself, and what
    libraries take beside torch. What other processes hold all the time doesn't count.
    """
    before = used_bytes()
    for _ in train(
        config(bench, **changes, epochs=1), bench.every(45), resident=False, captured=True
    ):
        pass
    card = f"GPU-{torch.cuda.get_device_properties(DEVICE).uuid}"
    beside = mib(used_bytes()[card] - before[card] - torch.cuda.memory_reserved())
    return {
        "value": reserved_mib() + beside,
        "reserved_mib": reserved_mib(),
        "beside_torch_mib": beside,
    }


def used_bytes() -> dict[str, int]:
    """How much of each card's memory all processes together hold, by UUID, as NVML counts it, which
    can be asked before CUDA begins.
    """
    pynvml.nvmlInit()
    try:
        cards = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return {
            pynvml.nvmlDeviceGetUUID(card): pynvml.nvmlDeviceGetMemoryInfo(card).used
            for card in cards
        }
    finally:
        pynvml.nvmlShutdown()


def full_card(bench: Bench) -> Iterator[Wanted]:
    for left in LEFT_MIB if CUDA else ():
        name = f"errors not recognised as want of memory, {left} MiB left by a neighbour"
        make = partial(_error_beside_a_hog, bench, left)
        yield Wanted(name, "errors", make, Goal(limit=0))


def _error_beside_a_hog(bench: Bench, left_mib: int) -> dict[str, Any]:
    hog = subprocess.Popen(
        [sys.executable, *bench.child(fill_card, left_mib)],
        cwd=measure.ROOT,
        env=measure.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert hog.stdout is not None
        hog.stdout.readline()  # it is full now
        return bench.in_child(train_on_what_is_left)
    finally:
        measure.end_tree(hog)


def fill_card(bench: Bench, left_mib: int) -> None:
    """Holds all memory but so much, until the process is ended."""
    free = torch.cuda.mem_get_info()[0]
    held = torch.empty(max(0, free - (left_mib << 20)), dtype=torch.uint8, device=DEVICE)
    print(f"holds {mib(len(held)):.0f} MiB", flush=True)
    sys.stdin.read()


def train_on_what_is_left(bench: Bench) -> dict[str, Any]:
    """Two steps of a ResNet-50: their error, and whether it is taken for want of memory."""
    try:
        trial = config(bench, network="resnet50", image_size=128)
        training = Training(trial, bench.data.images)
        for _ in range(2):
            training.step(*random_batch(trial, bench.data.images)).item()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:300]
        return {"value": int(not out_of_memory(error)), "error": said}
    return {"value": 0, "error": "none: it fits"}


def micro_batches(bench: Bench) -> Iterator[Wanted]:
    name = "failed attempts before a batch of 4,096 trains in pieces on 16 GiB"
    make = partial(bench.in_child, attempts_in_pieces)
    yield Wanted(name, "attempts", make, Goal(limit=6))


def attempts_in_pieces(bench: Bench) -> dict[str, Any]:
    """Trains in ever smaller pieces, as a search's retries do, until memory suffices."""
    if CUDA:
        total = torch.cuda.get_device_properties(DEVICE).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, SMALL_CARD_BYTES / total))
    batch_size = len(bench.data.train) // 4 if bench.mini else 4096
    trial = config(bench, network="resnet50", image_size=224, epochs=1)
    attempt = trial.but(batch_size=batch_size)
    held: list[float] = []
    while True:
        try:
            epochs = list(train(attempt, bench.every(10), resident=False))
            break
        except Exception as error:
            smaller = halve_micro_batch(attempt)
            if not out_of_memory(error) or smaller is None:
                raise
            attempt = smaller
        held.append(mib(torch.cuda.memory_allocated()))  # the error's own frames hold nothing
    return {
        "value": len(held),
        "at_once": attempt.micro_batch_size or batch_size,
        "held_mib": max(held, default=0.0),
        "images_per_s": epochs[-1].images_per_s,
    }
