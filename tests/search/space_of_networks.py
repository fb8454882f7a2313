"""A space that chooses between two small networks, each with parameters of its own."""

from pathlib import Path

TEXT = """
from _networks import STAGES
from search.space import Space
from trainables.config import TrialConfig


def suggest(trial):
    values = {
        "network": trial.suggest_categorical("network", list(STAGES)),
        "lr": trial.suggest_float("lr", 5e-4, 5e-3, log=True),
    }
    if values["network"] == "mini_alexnet":
        values["dropout"] = trial.suggest_float("dropout", 0.0, 0.5, step=0.25)
        values["normalise"] = "half"
        values["image_size"] = trial.suggest_int("image_size", 32, 64, step=32)
    else:
        values["label_smoothing"] = trial.suggest_float(
            "label_smoothing", 0.0, STAGES["resnet10"] / 20, step=0.05
        )
    return values


SPACE = Space(
    summary="ResNet-10 or MiniAlexNet",
    dataset="demo",
    baseline=TrialConfig(network="resnet10", lr=2e-3, batch_size=16, image_size=32, epochs=9),
    suggest=suggest,
)
"""
PRETRAINED = """
from search.space import Space
from trainables.config import TrialConfig

NETWORKS = {
    "resnet18": {"weights": "imagenet", "normalise": "imagenet"},
    "efficientnet_lite0": {"weights": "imagenet", "normalise": "half"},
    "resnet10": {"weights": "none", "normalise": "dataset"},
}
DEPTHS = {"resnet18": 4, "efficientnet_lite0": 8}


def suggest(trial):
    network = trial.suggest_categorical("network", list(NETWORKS))
    values = {"network": network, **NETWORKS[network]}
    if network in DEPTHS:
        values["freeze_depth"] = trial.suggest_int("freeze_depth", 0, DEPTHS[network])
    return values


SPACE = Space(
    summary="Three networks",
    dataset="demo",
    baseline=TrialConfig(
        network="efficientnet_lite0", weights="imagenet", normalise="half", freeze_depth=7
    ),
    suggest=suggest,
)
"""


def write_networks(folder: Path, text: str = TEXT) -> Path:
    """Writes the space with its sibling, and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_networks.py").write_text(
        'STAGES = {"resnet10": 2, "mini_alexnet": 3}\n', encoding="utf-8"
    )
    path = folder / "networks.py"
    path.write_text(text, encoding="utf-8")
    return path
