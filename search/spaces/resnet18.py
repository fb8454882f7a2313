"""Fine-tunes ResNet-18 with ImageNet weights on Tiny ImageNet, or on images of your own.

The baseline is the published fine-tuning: every parameter is trained, with SGD, lr 0.001, which
falls to a tenth after every 7 epochs, and momentum 0.9. It reached 56.9 % in validation, where the
same network from scratch (`resnet18_scratch`) reached 25.9 %. Its authors wanted preprocessing and
larger inputs next. The number of epochs isn't published; 25 is that of PyTorch's transfer-learning
tutorial, which uses the same values. The project also chose batch 64, and pixels that are only
divided by 255, because preprocessing was still to come.
"""

from typing import Any

import optuna

from search.space import Published, Space
from search.spaces._ranges import USUAL_AUGMENTATION, augmentation, optimizer
from trainables.config import TrialConfig


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Asks a trial for preprocessing, input size, freeze depth, optimizer, schedule, augmentation
    and regularisation, and returns the values.
    """
    return {
        "image_size": trial.suggest_categorical("image_size", [64, 96, 128, 224]),
        "normalise": trial.suggest_categorical("normalise", ["unit", "imagenet"]),
        "freeze_depth": trial.suggest_int("freeze_depth", 0, 4),
        **optimizer(trial, lr=(1e-4, 1e-2), momentum=(0.5, 0.95)),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 1e-4, 5e-4, 2e-3]),
        "schedule": trial.suggest_categorical("schedule", ["step", "cosine", "one-cycle"]),
        **augmentation(trial),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05),
        "ema": trial.suggest_categorical("ema", [0.0, 0.99, 0.999]),
    }


SPACE = Space(
    summary="ResNet-18, ImageNet weights, Tiny ImageNet or your own images: input and optimizer",
    dataset="tiny-imagenet",
    baseline=TrialConfig(
        network="resnet18",
        weights="imagenet",
        normalise="unit",
        optimizer="sgd",
        lr=1e-3,
        momentum=0.9,
        schedule="step",
        step_epochs=7,
        step_factor=0.1,
        batch_size=64,
        epochs=25,
    ),
    suggest=suggest,
    prior=USUAL_AUGMENTATION,
    published=Published(val_top1=0.569, note="all parameters trained; epochs not published"),
)
