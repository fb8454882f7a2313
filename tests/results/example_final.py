"""Made final trainings on disk, for the tests of their pages."""

from pathlib import Path
from typing import Any

import numpy as np

from common.json_records import to_json
from results.analysis.error_analysis import select_examples
from results.predictions import PREDICTIONS, Predictions
from results.records import FinalRecord

NAMES = ("cat", "dog", "<b>hen</b>")


def make_predictions(
    labels: list[int], said: list[int], sure: list[float], classes: int = 3
) -> Predictions:
    """Softmax gives each image's class in `said` the probability in `sure`, the others the rest.

    Mirror images are all recognised, and as sure as can be.
    """
    count = len(labels)
    shares = np.repeat((1 - np.asarray(sure))[:, None] / (classes - 1), classes, axis=1)
    shares[np.arange(count), said] = sure
    mirrored = np.zeros((count, classes), dtype=np.float32)
    mirrored[np.arange(count), labels] = 50
    return Predictions(
        labels=np.asarray(labels, dtype=np.int64),
        predicted=np.asarray(said, dtype=np.int64),
        logits=np.log(shares).astype(np.float32),
        mirrored=mirrored,
        examples=np.empty(0, dtype=np.int64),
        pixels=np.empty((0, 8, 8, 3), dtype=np.uint8),
        origin="made",
    )


def drawn(count: int, classes: int) -> Predictions:
    """Of a network that is right in about two of three images, and sure without reason."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, count)
    near = (labels + draw.integers(1, 4, count)) % classes
    said = np.where(draw.random(count) < 0.67, labels, near)
    sure = draw.uniform(0.5, 0.99, count)
    return make_predictions(labels.tolist(), said.tolist(), sure.tolist(), classes)


def make_final(
    folder: Path, predictions: Predictions, names: tuple[str, ...] = NAMES, **config: Any
) -> Path:
    """The folder of a final training with these predictions, their examples drawn at random."""
    folder.mkdir(parents=True)
    examples = select_examples(predictions)
    values = predictions.arrays() | {
        "examples": examples,
        "pixels": np.random.default_rng(1).integers(
            0, 256, (len(examples), 64, 64, 3), dtype=np.uint8
        ),
    }
    with (folder / PREDICTIONS).open("wb") as file:
        Predictions.from_arrays(values).save(file)
    top1 = float(predictions.right.mean())
    record = FinalRecord(
        config={"network": "resnet18", "weights": "none", "epochs": 12, "seed": 4} | config,
        test_top1=top1,
        test_top5=1.0,
        test_loss=0.75,
        train_top1=0.875,
        test_images=len(predictions.labels),
        train_images=9000,
        wall_s=600.0,
        provenance={
            "dataset": "folder",
            "dataset_fingerprint": "1b6f",
            "terms": "Pictures <i>of</i> mine.",
            "of_imagenet": True,
            "class_ids": [f"n{number}" for number in range(len(names))],
            "class_names": list(names),
            "selection": {"trial": 4, "value": 0.5, "selected_by": "a rule"},
            "torch": "2.14.1",
        },
        test_top1_flip=predictions.flip_averaged_top1(),
    )
    (folder / "final.json").write_text(to_json(record), encoding="utf-8")
    return folder
