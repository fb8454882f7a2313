"""Trains one configuration for a few epochs, in a process of its own; prints one JSON line.

The share of each epoch's wall time that isn't training, in the precision that a search would
choose for the network here, on one thread.
"""

import argparse
import json
from pathlib import Path

from datasets.access import open_search_data
from tests.benchmarks.eight_space import SPACE
from trainables.profiling.precision import resolve
from trainables.train import train
from trainables.training.process import prepare_process


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.evaluation_share", description=__doc__
    )
    parser.add_argument("--root", type=Path, required=True, help="the prepared data")
    parser.add_argument("--network", required=True)
    parser.add_argument("--freeze-depth", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    options = parser.parse_args()
    prepare_process(1)
    config = SPACE.baseline.but(
        network=options.network, freeze_depth=options.freeze_depth, epochs=options.epochs
    )
    config = config.but(precision=resolve(config, 1).precision)
    epochs = list(train(config, open_search_data(options.root)))
    told = {
        "value": 1 - sum(m.train_s for m in epochs) / sum(m.wall_s for m in epochs),
        "precision": config.precision,
        "train_s": [m.train_s for m in epochs],
        "wall_s": [m.wall_s for m in epochs],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
