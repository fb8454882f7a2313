"""Trains a wide network of concatenating blocks from scratch on Tiny ImageNet.

The baseline is the published training: 100 epochs without augmentation, which reached 50.9 % in
validation, with a loss of 1.109. Its authors wanted a cyclical learning rate, augmentation, and
class weights from the badly predicted classes next. Where the description is silent, the project
chose: Adam at its default learning rate of 1e-3, held constant, batch 64, and the network's details
that aren't published (`trainables/models/wide_concat.py`). AdamW without weight decay is Adam.
"""

from typing import Any

import optuna

from search.space import Published, Space
from search.spaces._ranges import USUAL_AUGMENTATION, augmentation
from trainables.config import TrialConfig


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Asks a trial for the schedule, augmentation, class weights, regularisation and learning rate,
    and returns the values.
    """
    schedules = ["constant", "cosine", "cyclical", "one-cycle"]
    values: dict[str, Any] = {
        "schedule": trial.suggest_categorical("schedule", schedules),
        "policy": trial.suggest_categorical("policy", ["none", "rand", "trivial"]),
    }
    if values["schedule"] == "cyclical":
        values["cycles"] = trial.suggest_int("cycles", 1, 8)
    if values["policy"] == "rand":
        values["policy_magnitude"] = trial.suggest_int("policy_magnitude", 3, 15)
    return {
        **values,
        **augmentation(trial),
        "cutout": trial.suggest_float("cutout", 0.0, 0.5, step=0.125),
        "class_weighting": trial.suggest_float("class_weighting", 0.0, 1.0, step=0.25),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
        "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 1e-3, 1e-2, 5e-2]),
    }


SPACE = Space(
    summary="wide network of concatenating blocks, from scratch, Tiny ImageNet: schedule and data",
    dataset="tiny-imagenet",
    baseline=TrialConfig(
        network="wide_concat",
        optimizer="adamw",
        lr=1e-3,
        schedule="constant",
        batch_size=64,
        epochs=100,
    ),
    suggest=suggest,
    prior=USUAL_AUGMENTATION,
    published=Published(val_top1=0.509, note="100 epochs, loss 1.109"),
)
