"""Reading and converting images: our loader against ImageFolder + DataLoader, and conversion.

Loading: uint8 batches of 64 of the same training images, shuffled, each side in a process of
its own; ours reads in one thread, theirs in one worker process or in none. Conversion: the
whole source, by `datasets.prepare` from its start to its exit, with a worker a core; memory is
looked at from outside, every 50 ms.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from datasets.manifest import read_manifest
from tests.benchmarks import measure
from tests.benchmarks.measure import CORES, BenchmarkError, Goal, Report, last_json
from tests.benchmarks.workload import DATASET, Size, Workload

OURS, ONE, NONE = "our loader", "DataLoader, one worker", "DataLoader, no worker"
CONVERSION = "conversion"
LOOK_S = 0.05


def _load(side: str, root: Path, *more: str) -> dict[str, Any]:
    command: list[str | Path] = ["-m", "tests.benchmarks.loader_side", side, "--root", root]
    return last_json(measure.run([*command, *more])[1])


def _convert(source: Path, data: Path) -> dict[str, Any]:
    """Images a second, and the peak memory of all its processes together and of the largest."""
    command = [sys.executable, "-m", "datasets.prepare", DATASET, "--source", str(source),
               "--data", str(data), "--workers", str(CORES)]  # fmt: skip
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        process = subprocess.Popen(
            command,
            cwd=measure.ROOT,
            env=measure.environment(),
            stdout=told,
            stderr=told,
            encoding="utf-8",
        )
        together = largest = 0
        try:
            while process.poll() is None:
                held = memory(process.pid)
                together, largest = max(together, sum(held)), max(largest, *held)
                time.sleep(LOOK_S)
        finally:
            measure.end_tree(process)
        seconds = time.perf_counter() - started
        told.seek(0)
        if process.returncode:
            raise BenchmarkError(f"datasets.prepare failed: {told.read()[-2000:]}")
    manifest = read_manifest(data / DATASET)
    images = manifest.train_images + manifest.val_images + manifest.test_images
    return {
        "value": images / seconds,
        "images": images,
        "seconds": seconds,
        "together_bytes": together,
        "largest_bytes": largest,
    }


def memory(pid: int) -> list[int]:
    """Bytes that a process and each one below it hold now; what they share counts for each."""
    held = [0, 0]
    with contextlib.suppress(psutil.NoSuchProcess):  # it may end while it is looked at
        root = psutil.Process(pid)
        held += [p.memory_info().rss for p in (root, *root.children(recursive=True))]
    return held


def _state(report: Report) -> None:
    for name in (OURS, ONE, NONE):
        report.figure(f"loading, {name}", "images/s", report.values(name))
    for name in (ONE, NONE):
        ratios = report.ratios(OURS, name)
        report.figure(f"{OURS} against {name}", "×", ratios, Goal(limit=20, at_most=False))
    images = report.values(CONVERSION, "images")[0]
    report.figure(
        f"converting {images:,} images on two cores",
        "images/s",
        report.values(CONVERSION),
        Goal(limit=6000, at_most=False),
    )
    for key, what, goal in (
        ("together_bytes", "all processes together", Goal(limit=600)),
        ("largest_bytes", "the largest process", None),
    ):
        values = [value / 1e6 for value in report.values(CONVERSION, key)]
        report.figure(f"peak memory of it, {what}", "MB", values, goal)


def benchmark(arguments: list[str] | None = None) -> None:
    options = measure.parse(measure.parser("data", __doc__), arguments)
    seconds = ("--seconds", "0.5" if options.quick else "4")
    size = Size(classes=4, images=40) if options.quick else Size(classes=None, images=100)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        workload = Workload(options.source, folder, size)
        whole = workload.zip if options.quick or not options.source else options.source
        folders = workload.folders()
        sides = {
            OURS: partial(_load, "ours", workload.data / DATASET, *seconds),
            ONE: partial(_load, "folders", folders, "--workers", "1", *seconds),
            NONE: partial(_load, "folders", folders, "--workers", "0", *seconds),
        }
        report = Report(options.out, "data", workload.facts() | {"converted": whole.name})
        for number in range(1, options.rounds + 1):
            for name, load in sides.items():
                report.measure(name, number, load)
            converted = folder / f"converted-{number}"
            report.measure(CONVERSION, number, partial(_convert, whole, converted))
    _state(report)


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
