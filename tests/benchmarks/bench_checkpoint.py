"""What frozen stages save: bytes of checkpoints, and the share of an epoch spent evaluating.

Checkpoints are a ResNet-50's for 200 classes with Adam's state, every stage but the last frozen
against none. The share is of an epoch's wall time, over a trial's first epochs on real images,
with every stage training and with all but the last frozen, on one thread.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.measure import Goal, Report, last_json
from tests.benchmarks.workload import DATASET, Size, Workload
from trainables.catalog import NETWORKS

DEEP = len(NETWORKS["resnet50"].stages) - 1
NONE, FROZEN = "none frozen", "all stages but the last frozen"
DEPTHS = {NONE: 0, FROZEN: DEEP}


def _child(module: str, network: str, depth: int, *more: str | Path) -> dict[str, Any]:
    command = ["-m", f"tests.benchmarks.{module}", "--network", network]
    return last_json(measure.run([*command, "--freeze-depth", str(depth), *more])[1])


def _state(report: Report, networks: list[str]) -> None:
    for how in DEPTHS:
        sizes = [size / 1e6 for size in report.values(f"checkpoint, {how}")]
        report.figure(f"checkpoint of a ResNet-50, {how}", "MB", sizes)
    ratios = report.ratios(f"checkpoint, {FROZEN}", f"checkpoint, {NONE}")
    report.figure("checkpoint, frozen against not", "×", ratios, Goal(limit=0.75))
    for network in networks:
        for how in DEPTHS:
            shares = [100 * share for share in report.values(f"evaluation, {network}, {how}")]
            title = f"evaluation's share of an epoch, {network}, {how}"
            report.figure(title, "%", shares, Goal(limit=12))


def benchmark(arguments: list[str] | None = None) -> None:
    options = measure.parse(measure.parser("checkpoint", __doc__), arguments)
    networks = ["resnet18"] if options.quick else ["resnet18", "resnet50"]
    size = Size(classes=4, images=40) if options.quick else Size(classes=20, images=50)
    epochs = "1" if options.quick else "2"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        workload = Workload(options.source, folder, size)
        data = ("--root", workload.data / DATASET, "--epochs", epochs)
        report = Report(options.out, "checkpoint", workload.facts() | {"epochs": int(epochs)})
        for how, depth in DEPTHS.items():
            written = partial(_child, "checkpoint_bytes", "resnet50", depth)
            report.measure(f"checkpoint, {how}", 1, written)
        for number in range(1, options.rounds + 1):
            for network in networks:
                for how, depth in DEPTHS.items():
                    trained = partial(_child, "evaluation_share", network, depth, *data)
                    report.measure(f"evaluation, {network}, {how}", number, trained)
    _state(report, networks)


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
