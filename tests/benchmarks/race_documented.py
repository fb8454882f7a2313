"""The search that Ray Tune's documentation leads to, over a whole space, against the clock.

A function trainable, `OptunaSearch` that asks the space's own `suggest`, `ASHAScheduler`, a time
budget: every trial starts a process of its own. The baseline is tried first, and the rungs are
those of our searches (first rung 3 epochs at the least, factor 3): with the documentation's grace
period of 1 it would be worse. Writes one JSON line a reported epoch, and counts its time from
`--started`.

    python -m tests.benchmarks.race_documented --space demo --root DIR --mean … --std … \\
        --seconds 600 --seed 0 --log events.jsonl
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from search.early_stopping.asha import default_grace
from search.space import Space
from search.spaces import find_space
from search.study.proposer import Proposer
from tests.benchmarks.plain_training import Settings

METRIC, MODE = "val_top1", "max"


def trainable(config: dict[str, Any]) -> None:
    from tests.benchmarks.plain_training import train

    for metrics in train(config, Settings(**config["settings"])):
        tune.report(metrics)


class Log(tune.Callback):
    """Writes a line for each reported epoch: when, which trial, its parameters, its value."""

    def __init__(self, path: Path, started: float) -> None:
        self._path, self._started = path, started

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: object
    ) -> None:
        config = {k: v for k, v in trial.config.items() if k != "settings"}
        line = {"at_s": time.time() - self._started, "trial": trial.trial_id, "config": config,
                "epoch": result["epoch"], "val_top1": result["val_top1"]}  # fmt: skip
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@dataclass(frozen=True, slots=True)
class Ask:
    """Asks a trial for the space's parameters and adds what isn't searched; Ray pickles it."""

    suggest: Callable[[Any], Mapping[str, Any]]
    constants: Mapping[str, Any]

    def __call__(self, trial: Any) -> dict[str, Any]:
        chosen = dict(self.suggest(trial))
        return {name: value for name, value in self.constants.items() if name not in chosen}


def search(space: Space, options: argparse.Namespace, settings: Settings) -> Any:
    """Runs the search until its time is over; returns Tune's results."""
    epochs = options.epochs or space.baseline.epochs
    baseline = space.baseline.but(epochs=epochs)
    ask = Ask(space.suggest, baseline.to_dict() | {"settings": vars(settings)})
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(
                ask,
                metric=METRIC,
                mode=MODE,
                seed=options.seed,
                points_to_evaluate=[Proposer(space, {}, 0).baseline_params()],
            ),
            scheduler=ASHAScheduler(
                time_attr="epoch",
                metric=METRIC,
                mode=MODE,
                max_t=epochs,
                grace_period=min(default_grace(epochs), epochs),
                reduction_factor=3,
            ),
            num_samples=-1,
            max_concurrent_trials=options.concurrent,
            time_budget_s=options.seconds - (time.time() - options.started),
        ),
        run_config=tune.RunConfig(
            name="race",
            storage_path=options.storage,
            verbose=0,
            callbacks=[Log(options.log, options.started)],
        ),
    )
    return tuner.fit()


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    ray.init(num_cpus=options.concurrent, include_dashboard=False, logging_level=logging.ERROR)
    settings = Settings(root=str(options.root.absolute()), mean=tuple(options.mean),
                        std=tuple(options.std), threads=options.threads,
                        workers=options.workers)  # fmt: skip
    results = search(find_space(options.space), options, settings)
    best = results.get_best_result(METRIC, MODE)
    told = {"trials": len(results), "errors": results.num_errors,
            "best_val_top1": (best.metrics or {}).get("val_top1")}  # fmt: skip
    print(json.dumps(told))
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--mean", type=float, nargs=3, required=True)
    parser.add_argument("--std", type=float, nargs=3, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--started", type=float, default=time.time())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--concurrent", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--storage", default=tempfile.gettempdir())
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
