"""How many trainings a card should hold at once: images a second in all, by their number.

Each training is a process of its own, as in a search, with augmentation and with images on the card
where they have room; one after the other joins those that train. MPS is NVIDIA's service by which
kernels of several processes run at once; its daemon is started for the measurement alone, in
folders of its own.
"""

import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

from common.signals import follow_parent
from search.hardware.packing import JoinError
from search.hardware.packing_probe import JOIN, TrainingProcesses
from tests.benchmarks.gpu.bench import Bench, Wanted
from tests.benchmarks.gpu.busy import BusyShare
from tests.benchmarks.gpu.card_report import PACKING
from tests.benchmarks.measure import BenchmarkError
from trainables.config import TrialConfig

CASES: dict[str, tuple[dict[str, Any], int]] = {
    PACKING: ({}, 8), "packing of ResNet-50 at 64 px": ({"network": "resnet50"}, 4),
    "packing of ResNet-50 at 128 px": ({"network": "resnet50", "image_size": 128}, 3),
}  # fmt: skip
"""What is packed -> fields of its configuration, and the largest number of processes."""
DAEMON = "nvidia-cuda-mps-control"


def processes(bench: Bench) -> Iterator[Wanted]:
    for name, (changes, most) in list(CASES.items())[: bench.few(None, 1)]:
        yield from _each_number(bench, name, changes, bench.few(most, 2))


def under_mps(bench: Bench) -> Iterator[Wanted]:
    if bench.mini or not shutil.which(DAEMON):
        return
    with _mps(bench.work):
        for name, (changes, most) in CASES.items():
            yield from _each_number(bench, f"{name} under MPS", changes, most)


def _each_number(bench: Bench, name: str, changes: dict[str, Any], most: int) -> Iterator[Wanted]:
    found = cache(partial(_rates, bench, changes, most))
    for number in range(1, most + 1):
        yield Wanted(f"{name}, {number} at once", "images/s", partial(_rate, found, number))


def _rate(found: Any, number: int) -> dict[str, Any]:
    rates, ended = found()
    if number > len(rates):
        raise BenchmarkError(f"{len(rates) + 1} trainings didn't run at once: {ended}")
    return dict(rates[number - 1])


def _rates(bench: Bench, changes: dict[str, Any], most: int) -> tuple[list[dict[str, float]], str]:
    """The rate with 1, 2, 3 … trainings, and why there are no more."""
    from tests.benchmarks.gpu.training import USUAL, config

    rates: list[dict[str, float]] = []
    threads = max(1, len(os.sched_getaffinity(0)) // most)
    trial = config(bench, **USUAL, **changes)
    with TrainingProcesses(trial, threads, most, partial(train_on_images, bench)) as trainings:
        try:
            while len(rates) < most:
                trainings.join()
                with BusyShare() as busy:
                    rate = trainings.images_per_s()
                rates.append({"value": rate, **busy.percent()})
        except JoinError as error:
            return rates, str(error)
    return rates, ""


def train_on_images(
    bench: Bench, config: TrialConfig, threads: int, connection: "Connection[Any, Any]"
) -> None:
    """One process: trains from `JOIN` until `END`, and sends how far it is when a step has ended,
    for which no later step waits.
    """
    from tests.benchmarks.gpu import training as steps
    from trainables.profiling.training_steps import AHEAD
    from trainables.training.batches import BatchFeeder
    from trainables.training.process import prepare_process
    from trainables.training.step_graph import WARM_UP

    follow_parent()
    prepare_process(threads)
    training, images = steps.Training(config, bench.data.images, captured=True), 0
    feeder, under_way = BatchFeeder(device=steps.DEVICE), deque[Any]()
    batches = steps.endless(bench, feeder, config.batch_size)
    for _ in range(WARM_UP + 1):  # also reads the images onto the card, as far as they have room
        training.step(*next(batches))
    connection.send((0, time.monotonic()))
    if connection.recv() != JOIN:
        os._exit(0)
    for batch in batches:
        training.step(*batch)
        if steps.CUDA:
            under_way.append(steps.record_event())
            if len(under_way) <= AHEAD:
                continue
            under_way.popleft().synchronize()
        images += config.batch_size
        connection.send((images, time.monotonic()))
        if connection.poll():
            steps.synchronize()
            os._exit(0)


@contextmanager
def _mps(work: Path) -> Iterator[None]:
    """Runs the daemon; processes that start in the block join it."""
    places = {f"CUDA_MPS_{kind}_DIRECTORY": str(work / f"mps-{kind}") for kind in ("PIPE", "LOG")}
    for place in places.values():
        Path(place).mkdir(parents=True, exist_ok=True)
    with mock.patch.dict(os.environ, places):
        subprocess.run([DAEMON, "-d"], check=True, timeout=30)
        try:
            yield
        finally:
            subprocess.run([DAEMON], input="quit\n", encoding="utf-8", check=False, timeout=60)


SECTIONS = (processes, under_mps)
