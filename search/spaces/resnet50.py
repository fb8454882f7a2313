"""Fine-tunes ResNet-50 with ImageNet weights on Tiny ImageNet: the space searches the
regularisation that closes the gap.

The baseline is the published fine-tuning: stem and first stage frozen, dropout 0.3 before a new
dense layer, label smoothing, Adam, a cosine schedule, batch 64, and 30 epochs. Its authors reached
96.9 % in training and 52.9 % in validation, and wanted full fine-tuning, MixUp, Cutout and custom
heads next. Where the description is silent, the project chose: lr 1e-3, label smoothing 0.1, 64 px,
and pixels as the weights expect them. AdamW without weight decay is Adam.
"""

from typing import Any

import optuna

from search.space import Published, Space
from search.spaces._ranges import USUAL_AUGMENTATION, augmentation
from trainables.config import TrialConfig


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Asks a trial for the freeze depth, head and input size, augmentation, regularisation and
    learning rate, and returns the values.
    """
    return {
        "freeze_depth": trial.suggest_int("freeze_depth", 0, 5),
        "head_width": trial.suggest_categorical("head_width", [0, 512, 1024, 2048]),
        "image_size": trial.suggest_categorical("image_size", [64, 96, 128]),
        **augmentation(trial),
        "cutout": trial.suggest_float("cutout", 0.0, 0.5, step=0.125),
        "policy": trial.suggest_categorical("policy", ["none", "trivial"]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6, step=0.1),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05),
        "ema": trial.suggest_categorical("ema", [0.0, 0.99, 0.999]),
        "lr": trial.suggest_float("lr", 5e-5, 5e-3, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 1e-3, 1e-2, 5e-2]),
    }


SPACE = Space(
    summary="ResNet-50, ImageNet weights, Tiny ImageNet: regularise a fine-tuning that overfits",
    dataset="tiny-imagenet",
    baseline=TrialConfig(
        network="resnet50",
        weights="imagenet",
        normalise="imagenet",
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
    prior=USUAL_AUGMENTATION,
    published=Published(
        train_top1=0.969,
        val_top1=0.529,
        val_top5=0.759,
        note="30 epochs, official validation split",
    ),
)
