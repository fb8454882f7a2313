"""ResNet-50 with ImageNet weights on Tiny ImageNet: the regularisation that closes the gap.

The baseline is the published fine-tuning: stem and first stage frozen, dropout 0.3 before a new
dense layer, label smoothing, Adam, cosine, batch 64, 30 epochs. Its authors saw 96.9 % in
training and 52.9 % in validation, and wanted full fine-tuning, MixUp and Cutout next. AdamW
without weight decay is Adam, so that the baseline lies inside the range.
"""

from typing import Any

import optuna

from search.space import Published, Space
from trainables.config import TrialConfig


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Freeze depth, regularisation, learning rate and input size."""
    return {
        "freeze_depth": trial.suggest_int("freeze_depth", 0, 5),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6, step=0.05),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.02),
        "mixup_alpha": trial.suggest_float("mixup_alpha", 0.0, 0.8, step=0.1),
        "cutout": trial.suggest_float("cutout", 0.0, 0.5, step=0.125),
        "flip": trial.suggest_categorical("flip", [False, True]),
        "crop": trial.suggest_float("crop", 0.0, 0.125, step=0.0625),
        "lr": trial.suggest_float("lr", 5e-5, 5e-3, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 1e-4, 1e-3, 1e-2, 5e-2]),
        "image_size": trial.suggest_categorical("image_size", [64, 96, 128]),
    }


SPACE = Space(
    summary="ResNet-50, ImageNet weights, Tiny ImageNet: regularise a fine-tuning that overfits",
    dataset="tiny-imagenet",
    baseline=TrialConfig(
        network="resnet50",
        weights="imagenet",
        freeze_depth=2,
        dropout=0.3,
        label_smoothing=0.1,
        optimizer="adamw",
        lr=1e-3,
        schedule="cosine",
        batch_size=64,
        epochs=30,
    ),
    suggest=suggest,
    published=Published(
        train_top1=0.969,
        val_top1=0.529,
        val_top5=0.759,
        note="30 epochs, official validation split",
    ),
)
