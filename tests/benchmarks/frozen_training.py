"""Trains one configuration and prints the epochs' seconds and accuracies as one JSON line.

It runs in a process of its own on one thread, with the project's version that `PYTHONPATH` names.
"""

import argparse
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from datasets.access import open_search_data
from trainables.config import TrialConfig
from trainables.train import train

_PLACES = ("trainables.training", "trainables")
"""The package that prepares a process, in this version and in earlier ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the prepared data")
    parser.add_argument("--config", type=json.loads, required=True, metavar="JSON")
    parser.add_argument("--epochs", type=int, required=True, help="train no more than these")
    options = parser.parse_args()
    import_module(f"{next(filter(find_spec, _PLACES))}.process").prepare_process(1)
    training = train(TrialConfig(**options.config), open_search_data(options.root))
    epochs = [metrics for _, metrics in zip(range(options.epochs), training, strict=False)]
    seconds = [metrics.wall_s for metrics in epochs]
    print(json.dumps({"value": sum(seconds), "wall_s": seconds, "val_top1": epochs[-1].val_top1}))


if __name__ == "__main__":
    main()
