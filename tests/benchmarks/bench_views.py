"""What fewer versions of each image cost in accuracy, where frozen stages see only a few.

An EfficientNet-Lite0 with its ImageNet weights trains on images of 128 px with flips, shifts and
Cutout, with all stages frozen but the last, and with all of them: with another version of each
image in every epoch (`views=0`), and with 1, 2 and 4 versions in turn. Each round has a seed of its
own, the same for all; accuracies are those of the last epoch, on val.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.bench_frozen import CONFIG, DEPTHS, Side, trained
from tests.benchmarks.measure import Report
from tests.benchmarks.workload import Size, Workload

VIEWS = (1, 2, 4)
TRAINING = CONFIG | {"epochs": 10, "lr": 1e-3, "weight_decay": 0.01, "schedule": "cosine"}


def _accuracy(side: Side, config: dict[str, Any]) -> dict[str, Any]:
    """The accuracy in per cent, and the seconds of each epoch, which other work may lengthen."""
    told = trained(side, config["epochs"], config)
    return {"value": 100 * told["val_top1"], "wall_s": told["wall_s"]}


def benchmark(arguments: list[str] | None = None) -> None:
    options = measure.parse(measure.parser("views", __doc__), arguments)
    size = Size(classes=4, images=20) if options.quick else Size(classes=20, images=200)
    training = TRAINING | ({"epochs": 2} if options.quick else {})
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(options.source, Path(folder), size)
        facts = {"config": training, "val_images": len(workload.search_data().val)}
        report = Report(options.out, "views", workload.facts() | facts, resume=True)
        side = Side(measure.ROOT, workload.directory)
        for number in range(1, options.rounds + 1):
            for name, (depth, _) in DEPTHS.items():
                for views in (0, *VIEWS):
                    config = training | {"freeze_depth": depth, "views": views, "seed": number}
                    make = partial(_accuracy, side, config)
                    report.measure(f"{name}, views={views}", number, make)
    for name in DEPTHS:
        usual = report.values(f"{name}, views=0")
        report.figure(f"val accuracy, {name}, another version in every epoch", "%", usual)
        for views in VIEWS:
            kept = report.values(f"{name}, views={views}")
            gained = [one - other for one, other in zip(kept, usual, strict=True)]
            report.figure(f"gained with views={views}, {name}", "points", gained)


if __name__ == "__main__":
    sys.exit(measure.main(benchmark))
