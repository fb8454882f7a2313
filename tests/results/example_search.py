"""Made runs that look like whole searches, for the tests of pages."""

import random
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from common.json_records import to_json
from results.records import FinalRecord, StopReason, TrialState
from tests.results.example_run import Made, make_run

RANGES: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "optimizer": CategoricalDistribution(["adamw", "sgd"]),
    "momentum": FloatDistribution(0.5, 0.99),
    "freeze_depth": IntDistribution(0, 4),
    "flip": CategoricalDistribution([False, True]),
}
MANIFEST: dict[str, Any] = {
    "space": "resnet18",
    "precision": "float32",
    "dataset": {"name": "tiny-imagenet-20", "fingerprint": "1b6f"},
    "published": {"train_top1": None, "val_top1": 0.569, "val_top5": None, "note": "on 64 px"},
    "options": {"data": "data", "gpus_per_trial": "0.5", "trials": 6, "epochs": 4},
    "provenance": {"commit": "783cd26", "python": "3.11.7", "versions": {"ray": "2.60.0"}},
    "sessions": [
        {
            "started": "2026-11-22T05:00:00+00:00",
            "ended": "2026-11-22T06:30:00+00:00",
            "provenance": {"command": "python -m search.run --space resnet18"},
        }
    ],
}

ADAMW: dict[str, Any] = {"lr": 1e-3, "optimizer": "adamw", "freeze_depth": 0, "flip": False}
SGD: dict[str, Any] = {
    "lr": 1e-2, "optimizer": "sgd", "momentum": 0.9, "freeze_depth": 3, "flip": True,
}  # fmt: skip
RUNG, DIVERGED = StopReason.RUNG, StopReason.DIVERGED
STOPPED = TrialState.STOPPED

SIX = [
    Made(params=ADAMW, values=[0.20, 0.30, 0.35, 0.34], gap=0.40),
    Made(params=SGD, values=[0.10, 0.20], state=STOPPED, reason=RUNG, detail="not in the top 1/3"),
    Made(params=ADAMW | {"lr": 1e-4}, values=[0.25, 0.40, 0.50, 0.55], gap=0.05),
    Made(params=SGD | {"lr": 0.1}, values=[0.60], state=STOPPED, reason=DIVERGED),
    Made(params=SGD | {"momentum": 0.5}, values=[], state=TrialState.FAILED, detail="no CUDA"),
    Made(params=ADAMW | {"flip": True}, values=[0.15, 0.25], state=STOPPED, reason=RUNG),
]
"""A baseline with a large gap, a better trial with a small one, and four that went otherwise."""


def six(directory: Path, **changed: Any) -> Path:
    """A run of `SIX`, with parts of its manifest replaced."""
    return make_run(directory, RANGES, SIX, 4, MANIFEST | changed)


def add_final(
    directory: Path, folder: str, trial: int, test_top1: float, seed: int = 0, **more: Any
) -> None:
    """A final training's record."""
    (directory / folder).mkdir()
    record = FinalRecord(
        config={"epochs": 12, "seed": seed},
        test_top1=test_top1,
        test_top5=0.9,
        test_loss=1.5,
        train_top1=0.95,
        test_images=1000,
        train_images=9000,
        wall_s=600.0,
        provenance={"selection": {"trial": trial}},
        **more,
    )
    (directory / folder / "final.json").write_text(to_json(record), encoding="utf-8")


def many(directory: Path, trials: int, epochs: int = 30, more: int = 0) -> Path:
    """A search with rungs after 3 and 9 epochs, in which lr decides most.

    `more` parameters without effect make it as wide as the project's own spaces.
    """
    draw = random.Random(0)
    idle = [f"idle{number}" for number in range(more)]
    ranges = RANGES | {name: FloatDistribution(0, 1) for name in idle}
    made = [_drawn(draw, epochs, idle) for _ in range(trials)]
    return make_run(directory, ranges, made, epochs, MANIFEST)


def _drawn(draw: random.Random, epochs: int, idle: list[str]) -> Made:
    exponent = draw.uniform(-5, -1)
    params = (ADAMW if draw.random() < 0.5 else SGD) | {"lr": 10**exponent}
    params |= {"freeze_depth": draw.randint(0, 4), "flip": draw.random() < 0.5}
    params |= {name: draw.random() for name in idle}
    if "momentum" in params:
        params["momentum"] = draw.uniform(0.5, 0.99)
    best = 0.6 - 0.1 * abs(exponent + 3) + draw.gauss(0, 0.03)
    length = 3 if best < 0.5 else 9 if best < 0.55 else epochs
    values = [_noisy(draw, best, epoch) for epoch in range(1, length + 1)]
    if length == epochs:
        return Made(params=params, values=values, gap=0.2)
    reason = StopReason.OVERFITTING if draw.random() < 0.1 else RUNG
    return Made(params=params, values=values, state=STOPPED, reason=reason, gap=0.1)


def _noisy(draw: random.Random, best: float, epoch: int) -> float:
    return round(best * (1 - 0.8**epoch) + draw.gauss(0, 0.005), 4)
