"""Made-up learning curves, where no recorded ones are at hand: the shape is right, nothing else."""

import argparse
import os
from pathlib import Path

import numpy as np

from tests.benchmarks import measure
from tests.benchmarks.measure import PUBLISHED, TRIED

CONFIGURATIONS, EPOCHS = 1500, 9
WEIGHTS = (3.0, 1.5, 0.8, 0.4, 0.2, 0.1)


def draw(folder: Path, seed: int) -> Path:
    """Writes `drawn-SEED.npz` and returns its path: six parameters of very unequal weight.

    Accuracy falls off smoothly from one best configuration. Each approaches its own exponentially,
    faster the higher the first parameter is, whatever that does to the end, so that early
    comparisons err; every epoch has a little noise.
    """
    rng = np.random.default_rng(seed)
    unit = rng.uniform(size=(CONFIGURATIONS, len(WEIGHTS)))
    best, weights = rng.uniform(0.2, 0.8, size=len(WEIGHTS)), rng.permutation(WEIGHTS)
    final = np.exp(-((unit - best) ** 2) @ weights)
    speed = np.exp(0.8 * unit[:, 0] - 0.9 + rng.normal(0, 0.1, CONFIGURATIONS))
    rise = 1 - np.exp(-np.outer(speed, np.arange(1, EPOCHS + 1)))
    noise = rng.normal(0, 0.01, (CONFIGURATIONS, EPOCHS))
    configs = unit.copy()
    configs[:, 0] = 10 ** (-4 + 3 * unit[:, 0])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"drawn-{seed}.npz"
    np.savez_compressed(
        path,
        configs=configs,
        names=np.array(["lr", "dropout", "momentum", "mixup", "cutout", "smoothing"]),
        val_accuracy=100 * np.clip(final[:, None] * rise + noise, 0, 1),
        wall_s=rng.uniform(50, 150, CONFIGURATIONS),
    )
    return path


def add_curves(parser: argparse.ArgumentParser) -> None:
    """The option by which a benchmark is given recorded curves."""
    parser.add_argument(
        "--curves",
        type=Path,
        nargs="+",
        metavar="NPZ",
        default=[Path(p) for p in os.environ.get("CURVES", "").split(":") if p],
        help="default: what the environment's CURVES names, separated by colons",
    )


def parse_curves(
    parser: argparse.ArgumentParser, arguments: list[str] | None
) -> argparse.Namespace:
    """The options; without recorded curves, or quickly, drawn ones, and nothing published."""
    options = measure.parse(parser, arguments)
    if options.quick or not options.curves:
        options.curves = [draw(TRIED / "drawn", seed) for seed in range(2)]
        if options.out.parent == PUBLISHED:
            options.out = TRIED / options.out.name
    return options
