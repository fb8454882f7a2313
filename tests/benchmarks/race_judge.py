"""The judge of the race: full trainings of what was handed over, with seeds nobody chose by."""

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from datasets.access import open_search_data
from datasets.splits import SearchData
from results.published.make_race import key_of
from tests.benchmarks.measure import CORES
from trainables.config import TrialConfig

SEEDS = (101, 102, 103)
"""A search trains its trials with other ones."""


def missing(
    configs: Iterable[dict[str, Any]], judged: Iterable[dict[str, Any]]
) -> list[tuple[dict[str, Any], int]]:
    """(configuration, seed) of each training that there is no line of yet."""
    done = {(key_of(line["config"]), line["seed"]) for line in judged}
    distinct = {key_of(config): config for config in configs}
    return [
        (config, seed)
        for key, config in distinct.items()
        for seed in SEEDS
        if (key, seed) not in done
    ]


def judge(todo: list[tuple[dict[str, Any], int]], precision: str, folder: Path, out: Path) -> None:
    """Trains each to its end, two at a time, and writes a line for each as soon as it is over."""
    with (
        out.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(CORES, get_context("spawn"), _prepare) as pool,
    ):
        futures = [pool.submit(full_training, *each, precision, folder) for each in todo]
        for count, future in enumerate(as_completed(futures), 1):
            line = future.result()
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            print(f"judged {count}/{len(todo)}: val {line['val_top1']:.3f}", flush=True)


def _prepare() -> None:
    from trainables.training.process import prepare_process

    prepare_process(1)


def full_training(
    config: dict[str, Any], seed: int, precision: str, folder: Path
) -> dict[str, Any]:
    """The last epoch's accuracies of a whole training, by this project's own loop."""
    from trainables.train import train

    whole = TrialConfig.from_dict(config).but(seed=seed, precision=precision)
    *_, last = train(whole, _data(folder))
    return {
        "judged": True,
        "config": config,
        "seed": seed,
        "precision": precision,
        "val_top1": last.val_top1,
        "train_top1": last.train_top1,
    }


@lru_cache(maxsize=1)
def _data(folder: Path) -> SearchData:
    return open_search_data(folder)
