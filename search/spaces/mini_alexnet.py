"""Trains a network of five convolutions and three dense layers from scratch on 20 classes of Tiny
ImageNet.

The baseline is the published training: SGD, batch 16, pixels divided by 255, and 35 epochs. It
reached 43 % on test images and overfitted. Its authors wanted augmentation and other batch sizes
next. Where the description is silent, the project chose: Keras' defaults for SGD, lr 0.01 held
constant and momentum 0; and dropout 0.5, as in AlexNet, because no rate is published.
"""

from typing import Any

import optuna

from search.space import Published, Space
from search.spaces._ranges import USUAL_AUGMENTATION, augmentation, optimizer
from trainables.config import TrialConfig


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Asks a trial for augmentation, batch size, optimizer, schedule and regularisation, and
    returns the values.
    """
    return {
        **augmentation(trial),
        "cutout": trial.suggest_float("cutout", 0.0, 0.5, step=0.125),
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128]),
        **optimizer(trial, lr=(3e-4, 1e-2), momentum=(0.0, 0.95)),
        "schedule": trial.suggest_categorical("schedule", ["constant", "cosine", "one-cycle"]),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 1e-4, 5e-4, 2e-3]),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6, step=0.1),
        "normalise": trial.suggest_categorical("normalise", ["unit", "dataset"]),
    }


SPACE = Space(
    summary="five convolutions from scratch, 20 classes of Tiny ImageNet: augmentation, batch size",
    dataset="tiny-imagenet-20",
    baseline=TrialConfig(
        network="mini_alexnet",
        normalise="unit",
        dropout=0.5,
        optimizer="sgd",
        lr=0.01,
        momentum=0.0,
        schedule="constant",
        batch_size=16,
        epochs=35,
    ),
    suggest=suggest,
    prior=USUAL_AUGMENTATION,
    published=Published(test_top1=0.43, note="35 epochs"),
)
