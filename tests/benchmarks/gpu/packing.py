"""How many trainings a card should hold at once: images a second in all, by their number.

Each training is a process of its own, as in a search, with augmentation and streamed images. They
wait for each other before the clock starts. MPS is NVIDIA's service by which kernels of several
processes run at once; its daemon is started for the measurement alone, in folders of its own.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.gpu.bench import Bench, Wanted
from tests.benchmarks.gpu.busy import BusyShare
from tests.benchmarks.gpu.card_report import PACKING
from tests.benchmarks.measure import BenchmarkError, last_json

CASES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    PACKING: ({}, (1, 2, 3, 4, 6, 8)),
    "packing of ResNet-50 at 64 px": ({"network": "resnet50"}, (1, 2, 3, 4)),
    "packing of ResNet-50 at 128 px": ({"network": "resnet50", "image_size": 128}, (1, 2, 3)),
}
"""What is packed -> fields of its configuration, and the numbers of processes."""
READY_S, SECONDS = 150.0, 4.0
DAEMON = "nvidia-cuda-mps-control"


def processes(bench: Bench) -> Iterator[Wanted]:
    for name, (changes, numbers) in list(CASES.items())[: bench.few(None, 1)]:
        for count in bench.few(numbers, (1, 2)):
            yield _wanted(bench, f"{name}, {count} at once", changes, count, {})


def under_mps(bench: Bench) -> Iterator[Wanted]:
    if bench.mini or not shutil.which(DAEMON):
        return
    with _mps(bench.work) as env:
        for name, (changes, numbers) in CASES.items():
            for count in numbers[1:]:
                yield _wanted(bench, f"{name}, {count} at once under MPS", changes, count, env)


def _wanted(
    bench: Bench, name: str, changes: dict[str, Any], count: int, env: dict[str, str]
) -> Wanted:
    make = partial(_rate_of_all, bench, changes, count, env)
    return Wanted(name, "images/s", make)


@contextmanager
def _mps(work: Path) -> Iterator[dict[str, str]]:
    """Runs the daemon; processes with the environment that is given join it."""
    places = {f"CUDA_MPS_{kind}_DIRECTORY": str(work / f"mps-{kind}") for kind in ("PIPE", "LOG")}
    for place in places.values():
        Path(place).mkdir(parents=True, exist_ok=True)
    env = os.environ | places
    subprocess.run([DAEMON, "-d"], env=env, check=True, timeout=30)
    try:
        yield places
    finally:
        subprocess.run([DAEMON], input="quit\n", encoding="utf-8", env=env, check=False, timeout=60)


def _rate_of_all(
    bench: Bench, changes: dict[str, Any], count: int, env: dict[str, str]
) -> dict[str, Any]:
    meeting = bench.work / "meeting"
    shutil.rmtree(meeting, ignore_errors=True)
    meeting.mkdir()
    running = [
        subprocess.Popen(
            [sys.executable, *bench.child(train_for_a_while, changes, str(meeting), number, count)],
            cwd=measure.ROOT, env=measure.environment() | env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )
        for number in range(count)
    ]  # fmt: skip
    try:
        began = time.perf_counter()
        while len(list(meeting.glob("ready-*"))) < count:
            late = time.perf_counter() - began > READY_S
            if late or any(process.poll() is not None for process in running):
                said = [process.communicate()[1] for process in running if process.poll()]
                raise BenchmarkError(f"{count} trainings didn't all begin: {said[:1]}")
            time.sleep(0.05)
        with BusyShare() as busy:
            (meeting / "go").touch()
            found = [last_json(process.communicate(timeout=120)[0]) for process in running]
    finally:
        for process in running:
            measure.end_tree(process)
    return {
        "value": sum(each["value"] for each in found),
        "reserved_mib": max(each["reserved_mib"] for each in found),
        **busy.percent(),
    }


def train_for_a_while(
    bench: Bench, changes: dict[str, Any], meeting: str, number: int, count: int
) -> dict[str, Any]:
    """One process: trains, waits for the others, then trains for a few seconds and counts."""
    from tests.benchmarks.gpu import training as steps
    from trainables.training.batches import BatchFeeder
    from trainables.training.process import prepare_process

    prepare_process(max(1, len(os.sched_getaffinity(0)) // count))
    trial = steps.config(bench, **steps.USUAL, **changes, seed=number)
    training = steps.Training(trial, bench.data.images)
    feeder = BatchFeeder(device=steps.DEVICE, resident=False)
    source = steps.endless(bench, feeder, trial.batch_size)

    def some(many: int) -> int:
        for _ in range(many):
            training.step(*next(source))
        steps.synchronize()
        return many * trial.batch_size

    some(bench.few(20, 2))
    (Path(meeting) / f"ready-{number}").touch()
    while not (Path(meeting) / "go").exists():
        time.sleep(0.01)
    began, images = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < bench.few(SECONDS, 0.5):
        images += some(bench.few(10, 1))
    source.close()
    return {"value": images / took, "reserved_mib": steps.reserved_mib()}


SECTIONS = (processes, under_mps)
