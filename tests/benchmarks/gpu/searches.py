"""Whole searches on a card, against Ray Tune as its documentation has it and against packing.

The eight configurations of `eight_space` are trained for two epochs, on 2,000 images against Ray
Tune, which loads JPEG files, and on all images for the rate that a search reaches. Wall-clock time
is that of the whole command; a rate counts from the first step to the command's end.
"""

import json
import shutil
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.bench_search import checked
from tests.benchmarks.bench_start import stages
from tests.benchmarks.eight_space import EIGHT, EPOCHS, plain
from tests.benchmarks.gpu.bench import Bench, Wanted
from tests.benchmarks.gpu.busy import BusyShare
from tests.benchmarks.gpu.card_report import BUSY, PATTERN, RATE, goal_of
from tests.benchmarks.gpu.card_report import EIGHT as WHOLE
from tests.benchmarks.measure import BenchmarkError, last_json
from tests.benchmarks.workload import DATASET, Size, Workload

HERE = Path(__file__).resolve().parents[1]
TIMEOUT_S = 420.0


def against_ray_tune(bench: Bench) -> Iterator[Wanted]:
    data, folders = _few_images(bench)
    yield Wanted(WHOLE, "s", partial(_search, bench, data, "auto"))
    for count in bench.few((1, 4), (1,)):
        yield Wanted(f"{PATTERN}, {count} at once", "s", partial(_ray_tune, bench, folders, count))


@cache
def _few_images(bench: Bench) -> tuple[Path, Path]:
    """The betons of some of the images, and the same ones as JPEG files."""
    size = Size(**bench.few({"classes": 20, "images": 100}, {"classes": 4, "images": 40}))
    small = bench.work / "small"
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir(parents=True)
    workload = Workload(bench.zip, small, size)
    return workload.data, workload.folders()


def _search(bench: Bench, data: Path, share: str, *more: str, fresh: bool = True) -> dict[str, Any]:
    """A search of the eight from its command to its exit. If it is `fresh`, it knows nothing of
    what earlier ones measured on this machine.
    """
    trials, out = bench.few(len(EIGHT), 2), bench.work / "runs"
    shutil.rmtree(out if fresh else out / "run", ignore_errors=True)
    command = [
        "-m", "search.run", "--space", HERE / "eight_space.py", "--dataset", DATASET,
        "--data", data, "--out", out, "--name", "run", "--trials", str(trials),
        "--epochs", str(EPOCHS), "--grace", "99", "--max-gap", "0", "--verbose",
        "--gpus-per-trial", share, *bench.few((), ("--precision", "float32")), *more,
    ]  # fmt: skip
    with BusyShare() as busy:
        seconds, printed = measure.run(command, timeout_s=TIMEOUT_S)
    first_step_s = stages(printed)["value"]
    found = checked(out / "run", trials)
    return {
        "value": seconds,
        "first_step_s": first_step_s,
        "images_per_s": found["images"] / (seconds - first_step_s),
        **{key: found[key] for key in ("precision", "images", "training_s", "evaluation_s")},
        **busy.percent(first_step_s),
    }


def _ray_tune(bench: Bench, folders: Path, count: int) -> dict[str, Any]:
    trials, configs = bench.few(len(EIGHT), 2), bench.work / "configs.json"
    configs.write_text(json.dumps(plain(trials)), encoding="utf-8")
    command = [
        HERE / "ray_tune_docs_pattern.py", "--root", folders, "--configs", configs,
        "--epochs", str(EPOCHS), "--concurrent", str(count), "--threads", "1",
        "--workers", str(bench.few(4, 0)), "--storage", bench.work / "ray",
        "--gpus", str(bench.few(1 / count, 0)),
    ]  # fmt: skip
    seconds, out = measure.run(command, timeout_s=TIMEOUT_S)
    found = last_json(out)
    if found["epochs"] != trials * EPOCHS:
        raise BenchmarkError(f"Ray Tune trained {found['epochs']} epochs, not all.")
    return {"value": seconds, "images": found["images"]}


def on_all_images(bench: Bench) -> Iterator[Wanted]:
    yield Wanted(RATE, "images/s", partial(_rate, bench))


def _rate(bench: Bench) -> dict[str, Any]:
    found = _search(bench, bench.prepared.parent, "auto")
    return {**found, "value": found["images_per_s"], "seconds": found["value"]}


def busy_share(bench: Bench) -> Iterator[Wanted]:
    make = partial(_busy_with_resnet50, bench)
    yield Wanted(BUSY, "%", make, goal_of(BUSY))


def _busy_with_resnet50(bench: Bench) -> dict[str, Any]:
    network = bench.few("resnet50", "resnet10")
    found = _search(bench, bench.prepared.parent, "auto", "--set", f"network={network}")
    if "busy_percent" not in found and not bench.mini:
        raise BenchmarkError("NVML must count this card's utilisation, but doesn't.")
    return {**found, "value": found.get("busy_percent", 0.0), "seconds": found["value"]}


def by_share(bench: Bench) -> Iterator[Wanted]:
    """Other searches of the eight on few images: one that knows what the first has measured, and
    some whose trials get a given share of the GPU.
    """
    data, _ = _few_images(bench)
    known = partial(_search, bench, data, "auto", fresh=False)
    yield Wanted(f"{WHOLE}, what was measured before is known", "s", known)
    for share in bench.few(("1", "0.25", "0.125"), ()):
        make = partial(_search, bench, data, share)
        yield Wanted(f"{WHOLE}, {share} GPU a trial", "s", make)


SECTIONS = (against_ray_tune, on_all_images, busy_share, by_share)
