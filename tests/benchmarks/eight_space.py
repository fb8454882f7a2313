"""Eight configurations of a ResNet-18 from scratch, as a space that proposes exactly these.

Every stage trains: there are no pretrained weights whose stages would be worth freezing, and
frozen stages would only make the search look faster against a plain loop.
"""

from typing import Any

import optuna

from search.space import Space
from trainables.config import TrialConfig

EIGHT: tuple[dict[str, Any], ...] = (
    {"lr": 1e-3},
    {"lr": 3e-4, "dropout": 0.2},
    {"lr": 3e-3, "label_smoothing": 0.1},
    {"lr": 1e-3, "mixup_alpha": 0.2},
    {"lr": 5e-4, "cutout": 0.25},
    {"lr": 2e-3, "dropout": 0.5, "label_smoothing": 0.1, "cutout": 0.25},
    {"lr": 1e-3, "dropout": 0.3, "label_smoothing": 0.05, "mixup_alpha": 0.4},
    {"lr": 5e-4, "dropout": 0.1, "label_smoothing": 0.1, "mixup_alpha": 0.2, "cutout": 0.25},
)
BATCH_SIZE, EPOCHS = 64, 2


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """The configuration at the trial's own number: nothing is drawn. A space has no business with
    that number, so that it is taken from the trial of Optuna's behind the one that a space gets;
    what checks the space before a search has none.
    """
    behind = getattr(trial, "_trial", trial)
    return EIGHT[getattr(behind, "number", 0) % len(EIGHT)]


SPACE = Space(
    summary="eight fixed configurations of a ResNet-18 from scratch, for benchmarks",
    dataset="tiny-imagenet",
    baseline=TrialConfig(
        network="resnet18",
        optimizer="adamw",
        weight_decay=1e-4,
        schedule="cosine",
        flip=True,
        crop=0.0625,
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        **EIGHT[0],
    ),
    suggest=suggest,
)


def plain(count: int) -> list[dict[str, Any]]:
    """The first `count` for code that isn't ours: every field, and cutout in pixels of 64."""
    none = {"dropout": 0.0, "label_smoothing": 0.0, "mixup_alpha": 0.0, "cutout": 0.0}
    return [
        {**none, **config, "cutout": round(64 * config.get("cutout", 0.0)), "freeze_depth": 0,
         "batch_size": BATCH_SIZE}
        for config in EIGHT[:count]
    ]  # fmt: skip
