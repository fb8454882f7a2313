"""Defines what several spaces share: ranges, each function asking a trial for related fields, and
what all their authors believe.
"""

from collections.abc import Mapping
from typing import Any

import optuna

from search.space import Prior

USUAL_AUGMENTATION: Mapping[str, Prior] = {"flip": Prior(True, 0.5), "crop": Prior(0.0625, 0.5)}
"""The prior of every space: mirrored images, shifted by up to a sixteenth of their side.

He et al. (2016, arXiv:1512.03385) augment CIFAR's images so, by 4 pixels; 4 of 64 are a sixteenth.
"""


def augmentation(trial: optuna.Trial) -> dict[str, Any]:
    """Asks a trial for mirroring, shifting and mixing of images, and returns the values.

    The MixUp range contains 0.1 to 0.4, which did best on ImageNet for its authors (Zhang et al.
    2018); 1 is the value that CutMix's authors used (Yun et al. 2019).
    """
    return {
        "flip": trial.suggest_categorical("flip", [False, True]),
        "crop": trial.suggest_float("crop", 0.0, 0.125, step=0.0625),
        "mixup_alpha": trial.suggest_float("mixup_alpha", 0.0, 0.4, step=0.2),
        "cutmix_alpha": trial.suggest_categorical("cutmix_alpha", [0.0, 1.0]),
    }


def optimizer(
    trial: optuna.Trial, *, lr: tuple[float, float], momentum: tuple[float, float]
) -> dict[str, Any]:
    """Asks a trial for SGD with its momentum, or for AdamW, and returns the values. `lr` and
    `momentum` are (lowest, highest).

    Both optimizers share one range of learning rates: AdamW's good ones lie in its lower half, and
    those of SGD with momentum in the upper half.
    """
    values: dict[str, Any] = {
        "optimizer": trial.suggest_categorical("optimizer", ["adamw", "sgd"]),
        "lr": trial.suggest_float("lr", *lr, log=True),
    }
    if values["optimizer"] == "sgd":
        values["momentum"] = trial.suggest_float("momentum", *momentum, step=0.05)
    return values
