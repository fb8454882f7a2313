"""Trains ResNet-10 from scratch on the demo dataset: a whole search takes minutes on any machine.

There are few images and no augmentation, so that the baseline memorises its training images. The
space varies what a larger one would.
"""

from typing import Any

import optuna

from search.space import Space
from search.spaces._ranges import USUAL_AUGMENTATION
from trainables.config import TrialConfig


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Asks a trial for regularisation, augmentation and the learning rate, and returns the
    values.
    """
    return {
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05),
        "mixup_alpha": trial.suggest_float("mixup_alpha", 0.0, 0.4, step=0.1),
        "cutout": trial.suggest_float("cutout", 0.0, 0.5, step=0.125),
        "flip": trial.suggest_categorical("flip", [False, True]),
        "crop": trial.suggest_float("crop", 0.0, 0.125, step=0.0625),
        "lr": trial.suggest_float("lr", 1e-3, 6e-3, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 1e-3, 1e-2, 5e-2]),
    }


SPACE = Space(
    summary="ResNet-10 from scratch on the embedded demo images: a whole search in minutes",
    dataset="demo",
    baseline=TrialConfig(network="resnet10", lr=2e-3, batch_size=32, epochs=15),
    suggest=suggest,
    prior=USUAL_AUGMENTATION,
)
