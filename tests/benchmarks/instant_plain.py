"""Instant trials through plain Ray Tune, as documented, in a process of its own; prints JSON.

A function trainable, `OptunaSearch` and `ASHAScheduler` with their defaults; actors aren't
reused. As many trials at once as our side runs.
"""

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from tests.benchmarks import instant
from tests.benchmarks.instant_ours import CONCURRENT


def train(config: dict[str, Any]) -> None:
    for epoch in range(1, instant.EPOCHS + 1):
        tune.report({"val_top1": instant.value(config["lr"], epoch)})


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.instant_plain", description=__doc__
    )
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="where Ray writes")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ray.init(num_cpus=CONCURRENT, include_dashboard=False, logging_level=logging.ERROR)
    # As a module's function, not one of this script's: the worker shall import it.
    from tests.benchmarks.instant_plain import train as trainable

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"lr": tune.loguniform(1e-5, 1e-1), "dropout": tune.uniform(0.0, 0.5)},
        tune_config=tune.TuneConfig(
            metric="val_top1",
            mode="max",
            num_samples=options.trials,
            max_concurrent_trials=CONCURRENT,
            search_alg=OptunaSearch(),
            scheduler=ASHAScheduler(max_t=instant.EPOCHS, grace_period=1, reduction_factor=3),
        ),
        run_config=tune.RunConfig(name="plain", storage_path=str(options.out), verbose=0),
    )
    started, driver_started = time.perf_counter(), time.process_time()
    results = tuner.fit()
    fit_s, driver_s = time.perf_counter() - started, time.process_time() - driver_started
    lasts = [results[number].metrics or {} for number in range(len(results))]
    told = {
        "fit_s": fit_s,
        "driver_s": driver_s,
        "trials": len(results) - results.num_errors,
        "epochs": sum(last["training_iteration"] for last in lasts),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
