"""Records whether configurations keep their order where frozen stages see a few fixed versions of
each image: `record_views --source ZIP`.

Takes configurations of the recorded table of `efficientnet_lite0`, those that freeze stages whose
outputs can be kept, and trains each once more with `views`, with the seed, the images and the
precision of its recorded training. Each is compared with that one, and as a yardstick the recorded
trainings of equal configurations with other seeds are compared too. Accuracies are those of the
last epoch, on val; times are seconds of one core, the outputs built anew for each training.

Called again, it goes on with what `--out` lacks, and prints the comparison.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from datasets.access import open_search_data
from datasets.manifest import OUTPUTS
from datasets.splits import SearchData
from results.analysis.curve_table import Recording, read_table
from results.jsonl import read_lines
from results.published.rung_witnesses import by_run
from search.spaces import find_space
from tests.benchmarks import measure
from tests.benchmarks.measure import BenchmarkError
from tests.benchmarks.record_curves import TABLES
from tests.benchmarks.recorded_rows import Row, rows
from tests.benchmarks.workload import DATASET, Size, Workload
from trainables.config import TrialConfig
from trainables.models.setup import default_device, new_network
from trainables.train import train
from trainables.training.batches import BatchFeeder
from trainables.training.frozen_views import FrozenViews
from trainables.training.process import prepare_process

SPACE, VIEWS, IMAGES = "efficientnet_lite0", 4, 50
AT_MOST = {"image_size": 128.0}
"""As the table was recorded."""

OUT = measure.PUBLISHED / "views-order.jsonl"
DRAWS = 4000


def learns_from_outputs(config: TrialConfig, data: SearchData) -> bool:
    """Whether the frozen stages of a configuration run once for each version of an image."""
    if not config.freeze_depth:
        return False
    feeder = BatchFeeder(device=default_device())
    network = new_network(config, len(data.images.class_ids), feeder.device)
    return FrozenViews.of(network, data.images, config, feeder, data.train) is not None


def record(row: Row, config: TrialConfig, data: SearchData) -> dict[str, Any]:
    """The line of one training with `views`."""
    began = time.process_time()
    top1 = [metrics.val_top1 for metrics in train(config, data)]
    seconds = time.process_time() - began
    shutil.rmtree(data.train.beton.parent / OUTPUTS, ignore_errors=True)
    return {"row": row.number, "seed": config.seed, "val_top1": top1, "cpu_s": round(seconds, 1)}


def compare(lines: list[dict[str, Any]], table: Recording) -> Iterator[str]:
    """The figures, with 95 % intervals over resampled configurations."""
    full = by_run(table, "full")
    ends = {run: each["curves"]["val_top1"][-1] for run, each in full.items()}
    pairs = np.array([[ends[line["row"], line["seed"]], line["val_top1"][-1]] for line in lines])
    seeds = np.array([[ends[row, 0], end] for (row, seed), end in ends.items() if seed])
    spent = [sum(full[line["row"], line["seed"]]["curves"]["cpu_s"]) for line in lines]
    shares = [line["cpu_s"] / whole for line, whole in zip(lines, spent, strict=True)]
    chosen, best = pairs[pairs[:, 1].argmax(), 0], pairs[:, 0].max()
    yield f"{len(pairs)} configurations, views={VIEWS} against another version in every epoch"
    yield f"rank correlation {_interval(pairs, _correlation)}"
    yield f"of {len(seeds)} other seeds {_interval(seeds, _correlation)}"
    yield f"points gained {_interval(100 * pairs, _gain)}"
    yield f"without views, the best one by views ends at {chosen:.3f}, and the best at {best:.3f}"
    yield f"seconds, as a share of those without: median {np.median(shares):.2f}"


def _correlation(pairs: NDArray[np.float64]) -> float:
    return float(spearmanr(*pairs.T)[0])


def _gain(pairs: NDArray[np.float64]) -> float:
    return float((pairs[:, 1] - pairs[:, 0]).mean())


def _interval(pairs: NDArray[np.float64], figure: Any) -> str:
    rng = np.random.default_rng(0)
    drawn = [figure(pairs[rng.integers(len(pairs), size=len(pairs))]) for _ in range(DRAWS)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return f"{figure(pairs):.2f} [{low:.2f}…{high:.2f}]"


def main(arguments: list[str] | None = None) -> None:
    """Records what is missing, and prints the comparison."""
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.record_views", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument("--source", type=Path, metavar="ZIP", required=True,
                      help="the images that the table was recorded on")  # fmt: skip
    made.add_argument("--rows", type=int, default=80, metavar="N", help="default: 80")
    made.add_argument("--out", type=Path, default=OUT, metavar="FILE", help="where the lines go")
    options = made.parse_args(arguments)
    table = read_table(TABLES / f"{SPACE}.npz")
    header, recorded = table.headers[0], by_run(table, "full")
    folder = measure.ROOT / "build" / "views-order"
    images = folder / "data" / DATASET
    if not (images / "manifest.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        Workload(options.source, folder, Size(classes=None, images=IMAGES))
    data = open_search_data(images)
    if data.images.fingerprint != header["fingerprint"]:
        raise BenchmarkError("The images must be those of the table; give the --source it names.")
    prepare_process(1)
    fixed = {"epochs": header["baseline"]["epochs"], "precision": header["precision"]}
    known = {line["row"] for line in read_lines(options.out)} if options.out.exists() else set()
    for row in islice(rows(find_space(SPACE), fixed, AT_MOST), options.rows):
        config = row.config.but(views=VIEWS, seed=0)
        if (row.number, 0) not in recorded or row.number in known:
            continue
        if learns_from_outputs(config, data):
            line = record(row, config, data)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(f"row {row.number}: {line['val_top1'][-1]:.3f}, {line['cpu_s']} s", flush=True)
    print(*compare(list(read_lines(options.out)), table), sep="\n")


if __name__ == "__main__":
    sys.exit(measure.main(main))
