"""Trains ResNet-18 from scratch on Tiny ImageNet.

The baseline is the published training, the same as that of `resnet18` but from random weights: SGD
with lr 0.001, which falls to a tenth after every 7 epochs, and momentum 0.9. It reached 25.9 % in
validation. Its authors wanted preprocessing and larger inputs next. Where the description is
silent, the project chose: 25 epochs, as in PyTorch's tutorial with the same values, batch 64, and
pixels that are only divided by 255.

A 64 px image leaves a map of 2×2 before the head, because the stem of ImageNet's networks divides
its side by 4. Larger inputs help, and so does a small stem, which keeps the side: at 32 px its maps
are as large as the other's at 128 px, for as much work (0.55 and 0.59·10⁹ multiply-adds an image).
At 64 px a small stem costs four times that, 2.2·10⁹, which is too much for a CPU, so it is searched
at 32 px only. On a GPU, `--set stem=small image_size=64` searches the rest around it.
"""

from typing import Any

import optuna

from search.space import Published, Space
from search.spaces import resnet18
from search.spaces._ranges import USUAL_AUGMENTATION, augmentation, optimizer


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Asks a trial for preprocessing, input size with the stem that belongs to it, optimizer,
    schedule, augmentation and regularisation, and returns the values.
    """
    image_size = trial.suggest_categorical("image_size", [32, 64, 96, 128])
    return {
        "image_size": image_size,
        "stem": "small" if image_size == 32 else "imagenet",
        "normalise": trial.suggest_categorical("normalise", ["unit", "dataset"]),
        **optimizer(trial, lr=(5e-4, 5e-2), momentum=(0.5, 0.95)),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 1e-4, 5e-4, 2e-3]),
        "schedule": trial.suggest_categorical("schedule", ["step", "cosine", "one-cycle"]),
        **augmentation(trial),
        "policy": trial.suggest_categorical("policy", ["none", "trivial"]),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05),
        "ema": trial.suggest_categorical("ema", [0.0, 0.99, 0.999]),
    }


SPACE = Space(
    summary="ResNet-18 from scratch, Tiny ImageNet: optimizer, schedule, stem and input size",
    dataset="tiny-imagenet",
    baseline=resnet18.SPACE.baseline.but(weights="none"),
    suggest=suggest,
    prior=USUAL_AUGMENTATION,
    published=Published(val_top1=0.259, note="from random weights; epochs not published"),
)
