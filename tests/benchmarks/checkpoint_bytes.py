"""Writes a checkpoint after one optimizer step on random images; prints its bytes as JSON."""

import argparse
import json
import tempfile
from pathlib import Path

import torch

from tests.benchmarks.eight_space import SPACE
from trainables.models.network import build, freeze
from trainables.training import checkpoint
from trainables.training.optimizer import make_optimizer
from trainables.training.process import prepare_process
from trainables.training.step import train_step

CLASSES, IMAGES = 200, 4


def checkpoint_bytes(network_name: str, freeze_depth: int) -> int:
    """The size of a trial's checkpoint, the optimizer's state included."""
    config = SPACE.baseline.but(
        network=network_name, freeze_depth=freeze_depth, precision="float32"
    )
    network = build(config, CLASSES)
    freeze(network, freeze_depth)
    optimizer = make_optimizer(network, config)
    images = torch.randn(IMAGES, 3, config.image_size, config.image_size)
    train_step(network, optimizer, images, torch.randint(CLASSES, (IMAGES,)), config)
    identity = checkpoint.training_key(config, "random images", network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        checkpoint.write(path, checkpoint.snapshot(network, optimizer, [], identity))
        return path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.checkpoint_bytes", description=__doc__
    )
    parser.add_argument("--network", required=True)
    parser.add_argument("--freeze-depth", type=int, required=True)
    options = parser.parse_args()
    prepare_process(1)
    print(json.dumps({"value": checkpoint_bytes(options.network, options.freeze_depth)}))


if __name__ == "__main__":
    main()
