"""Images a second that one loader gives, in a process of its own; prints one JSON line.

Whole passes over shuffled training images in batches of 64 uint8 tensors, until `--seconds`
have gone by; a first pass isn't counted.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from datasets.access import open_search_data
from datasets.loading import loader
from datasets.loading.loader import batches

BATCH_SIZE = 64


def ours(root: Path) -> Callable[[int], Iterable[Any]]:
    """Our loader over the data prepared in `root`, compiled at once: as it soon reads."""
    loader.COMPILE_AFTER = 0
    train = open_search_data(root).train
    return lambda number: batches(train, BATCH_SIZE, order_seed=number, drop_last=True)


def folders(root: Path, workers: int) -> Callable[[int], Iterable[Any]]:
    """`ImageFolder` and `DataLoader` over the JPEG files below `root`/train."""
    images = torchvision.datasets.ImageFolder(str(root / "train"), v2.PILToTensor())
    loader: DataLoader[Any] = DataLoader(
        images,
        BATCH_SIZE,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda number: loader


def rate(passes: Callable[[int], Iterable[Any]], seconds: float) -> float:
    """Images a second over whole passes."""
    for _ in passes(0):
        pass
    images, number, started = 0, 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds or not images:
        number += 1
        for pixels, labels in passes(number):
            assert pixels.dtype == torch.uint8
            images += len(labels)
    return images / taken


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.loader_side", description=__doc__
    )
    parser.add_argument("side", choices=["ours", "folders"])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=0, help="of the DataLoader")
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    made = ours if options.side == "ours" else lambda root: folders(root, options.workers)
    print(json.dumps({"value": rate(made(options.root), options.seconds)}))


if __name__ == "__main__":
    main()
