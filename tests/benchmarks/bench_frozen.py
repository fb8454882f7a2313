"""What kept outputs of frozen stages save: seconds of an epoch, and of whole trainings.

An EfficientNet-Lite0 with its ImageNet weights trains on images of 128 px with flips, shifts and
Cutout, on one thread, with all stages frozen but the last, and with all of them. With
`views=VIEWS` it learns from kept outputs, first where none are there, then where another training
has left them. `--beside CHECKOUT` trains the same by another version of the project, in turn;
without it, by this one with `views=0`. Such a training's epochs take equally long, so five are
measured and longer trainings reckoned from them.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets.manifest import OUTPUTS
from tests.benchmarks import measure
from tests.benchmarks.measure import Goal, Report, last_json
from tests.benchmarks.workload import DATASET, Size, Workload
from trainables.catalog import NETWORKS

VIEWS = 2
LENGTHS = (5, 15, 50)
STAGES = len(NETWORKS["efficientnet_lite0"].stages)
DEPTHS = {
    "all stages but the last frozen": (STAGES - 1, Goal(limit=0.15)),
    "a linear head": (STAGES, Goal(limit=0.03)),
}
CONFIG = {
    "network": "efficientnet_lite0", "weights": "imagenet", "image_size": 128, "normalise": "half",
    "batch_size": 32, "flip": True, "crop": 0.1, "cutout": 0.25, "precision": "float32",
    "epochs": LENGTHS[-1],
}  # fmt: skip
CHILD = Path(__file__).with_name("frozen_training.py")


@dataclass(frozen=True, slots=True)
class Side:
    """A version of the project, and the folder of images that it has made ready."""

    checkout: Path
    root: Path


def prepared(checkout: Path, workload: Workload, data: Path) -> Side:
    """A version with images that are made ready by it."""
    command = ("-m", "datasets.prepare", DATASET, "--source", workload.zip, "--data", data)
    measure.run(command, cwd=checkout, env={"PYTHONPATH": os.fspath(checkout)})
    return Side(checkout, data / DATASET)


def trained(side: Side, epochs: int, config: dict[str, Any]) -> dict[str, Any]:
    """A training in a process of its own, by one version."""
    words = ("--root", side.root, "--epochs", str(epochs), "--config", json.dumps(config))
    env = {"PYTHONPATH": os.fspath(side.checkout)}
    return last_json(measure.run((CHILD, *words), cwd=side.checkout, env=env)[1])


def _measure(report: Report, here: Side, beside: Side, number: int, lengths: list[int]) -> None:
    for name, (depth, _) in DEPTHS.items():
        config = CONFIG | {"freeze_depth": depth}
        kept = config | {"views": VIEWS}
        shutil.rmtree(here.root / OUTPUTS, ignore_errors=True)
        for side, which, epochs, chosen in (
            (beside, "images", lengths[0], config),
            (here, "first", lengths[-1], kept),
            (here, "second", lengths[-1], kept | {"lr": 3e-4}),
        ):
            report.measure(f"{name}, {which}", number, partial(trained, side, epochs, chosen))


def _state(report: Report, lengths: list[int]) -> None:
    for name, (_, goal) in DEPTHS.items():
        images = report.values(f"{name}, images", "wall_s")
        usual = [statistics.median(seconds[1:]) for seconds in images]
        report.figure(f"an epoch on images, {name}", "s", usual)
        first = report.values(f"{name}, first", "wall_s")
        ratios = [
            statistics.median(seconds[VIEWS:]) / of
            for seconds, of in zip(first, usual, strict=True)
        ]
        report.figure(f"an epoch on kept outputs against one on images, {name}", "×", ratios, goal)
        for length in lengths:
            whole = [
                sum(seconds) + (length - len(seconds)) * of
                for seconds, of in zip(images, usual, strict=True)
            ]
            for which in ("first", "second"):
                spent = report.values(f"{name}, {which}", "wall_s")
                shares = [
                    sum(seconds[:length]) / of for seconds, of in zip(spent, whole, strict=True)
                ]
                report.figure(f"{length} epochs, the {which} training, {name}", "×", shares)


def benchmark(arguments: list[str] | None = None) -> None:
    made = measure.parser("frozen", __doc__)
    made.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another version's folder")
    options = measure.parse(made, arguments)
    size = Size(classes=4, images=20) if options.quick else Size(classes=20, images=50)
    lengths = [2, 3] if options.quick else list(LENGTHS)
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(options.source, Path(folder), size)
        facts = {"views": VIEWS, "config": CONFIG, "beside": bool(options.beside)}
        report = Report(options.out, "frozen", workload.facts() | facts)
        here = beside = Side(measure.ROOT, workload.directory)
        if options.beside:
            beside = prepared(options.beside, workload, Path(folder) / "beside")
        for number in range(1, options.rounds + 1):
            _measure(report, here, beside, number, lengths)
    _state(report, lengths)


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
