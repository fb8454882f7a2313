"""The judge of the race: full trainings of what was handed over, with seeds nobody chose by, and
on images that no search has seen, where the source has more than the race uses.
"""

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from datasets.access import open_search_data
from datasets.splits import Split
from results.published.make_race import key_of
from tests.benchmarks.measure import CORES
from trainables.config import TrialConfig

SEEDS = (101, 102, 103)
"""A search trains its trials with other ones."""

UNSEEN = 50
"""Images of each class that no search has seen, at the most, on which a training is judged."""


def missing(
    configs: Iterable[dict[str, Any]], judged: Iterable[dict[str, Any]], unseen: bool
) -> list[tuple[dict[str, Any], int]]:
    """(configuration, seed) of each training that there is no line of yet, on images of this kind:
    unseen ones, or those of val.
    """
    lines = (line for line in judged if line.get("unseen", False) == unseen)
    done = {(key_of(line["config"]), line["seed"]) for line in lines}
    distinct = {key_of(config): config for config in configs}
    return [
        (config, seed)
        for key, config in distinct.items()
        for seed in SEEDS
        if (key, seed) not in done
    ]


def judge(
    todo: list[tuple[dict[str, Any], int]],
    precision: str,
    folder: Path,
    unseen: Path | None,
    out: Path,
) -> None:
    """Trains each to its end, two at a time, and writes a line for each as soon as it is over.

    folder: the prepared images of the race. unseen: those to judge on, by default val.
    """
    with (
        out.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(CORES, get_context("spawn"), _prepare) as pool,
    ):
        futures = [pool.submit(full_training, *each, precision, folder, unseen) for each in todo]
        for count, future in enumerate(as_completed(futures), 1):
            line = future.result()
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            print(f"judged {count}/{len(todo)}: {line['val_top1']:.3f}", flush=True)


def _prepare() -> None:
    from trainables.training.process import prepare_process

    prepare_process(1)


def full_training(
    config: dict[str, Any], seed: int, precision: str, folder: Path, unseen: Path | None = None
) -> dict[str, Any]:
    """The accuracies after a whole training, by this project's own loop."""
    from trainables.models.setup import default_device, new_network
    from trainables.train import train
    from trainables.training.evaluate import evaluate

    whole = TrialConfig.from_dict(config).but(seed=seed, precision=precision)
    data, device = open_search_data(folder), default_device()
    network = new_network(whole, len(data.images.class_ids), device)
    *_, last = train(whole, data, network=network, device=device)
    images, top1 = data.val, last.val_top1
    if unseen:
        images = _every_image(unseen)
        top1 = evaluate(network, images, data.images, whole, device).top1
    return {
        "judged": True,
        "config": config,
        "seed": seed,
        "precision": precision,
        "unseen": unseen is not None,
        "images": len(images),
        "val_top1": top1,
        "train_top1": last.train_top1,
    }


def _every_image(unseen: Path) -> Split:
    """The training images of a prepared dataset, those of its val too."""
    data = open_search_data(unseen)
    indices = np.union1d(data.train.indices, data.val.indices)
    return Split(name="unseen", beton=data.train.beton, indices=indices)
