"""Lists the datasets that the project knows by name."""

from pathlib import Path

from common.cli import quote
from common.text import did_you_mean
from datasets.sources.cifar100 import CIFAR100
from datasets.sources.demo import DEMO
from datasets.sources.folder import FOLDER
from datasets.sources.tiny_imagenet import TINY_IMAGENET, TINY_IMAGENET_20
from datasets.spec import DatasetError, DatasetSpec

DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec for spec in (CIFAR100, DEMO, FOLDER, TINY_IMAGENET, TINY_IMAGENET_20)
}
"""This table maps each dataset's name to its specification."""


def find_dataset(name: str) -> DatasetSpec:
    """Returns the dataset called `name`.

    Raises `DatasetError` for an unknown name, with the most similar known name if there is one.
    """
    if name in DATASETS:
        return DATASETS[name]
    hint = did_you_mean(name, DATASETS, f"known are {', '.join(sorted(DATASETS))}.")
    if Path(name).exists():
        hint = f"images of your own are the dataset `folder`, with {quote('--source', name)}."
    raise DatasetError(f"{name!r} is no dataset; {hint}")
