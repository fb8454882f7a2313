"""Lists the datasets that the project knows by name."""

from dataclasses import replace
from pathlib import Path

from common.cli import quote
from common.text import did_you_mean
from datasets.sources.cifar100 import CIFAR100
from datasets.sources.demo import DEMO
from datasets.sources.folder import FOLDER
from datasets.sources.tiny_imagenet import TINY_IMAGENET, TINY_IMAGENET_20
from datasets.spec import (
    LONGEST,
    OWN,
    DatasetError,
    DatasetSpec,
    dataset_name,
    is_usable_name,
    make_usable_name,
)

DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec for spec in (CIFAR100, DEMO, FOLDER, TINY_IMAGENET, TINY_IMAGENET_20)
}
"""This table maps each dataset's name to its specification."""


def find_dataset(name: str) -> DatasetSpec:
    """Returns the dataset called `name`, which may be `folder:NAME` for images of the user's own.

    Raises `DatasetError` for an unknown name, with the most similar known name if there is one, and
    for a NAME that can't be a folder everywhere.
    """
    if name in DATASETS:
        return DATASETS[name]
    kind, colon, own = name.partition(":")
    if colon and kind in DATASETS:
        return _find_named(kind, own)
    hint = did_you_mean(name, DATASETS, f"known are {', '.join(sorted(DATASETS))}.")
    if Path(name).exists():
        hint = f"images of your own are the dataset `folder`, with {quote('--source', name)}."
    raise DatasetError(f"{name!r} is no dataset; {hint}")


def find_prepared(folder: str) -> str | None:
    """Returns the name of the dataset that is prepared in a folder of this name, or `None` where
    there is no such dataset.
    """
    name = dataset_name(folder)
    return name if name in DATASETS or name.startswith(f"{OWN}:") else None


def _find_named(kind: str, own: str) -> DatasetSpec:
    """Returns the dataset `kind`:`own`, one of several with a user's own images. Raises
    `DatasetError` for another kind, and for a name that can't be a folder everywhere.
    """
    usable = f"{OWN}:{make_usable_name(own)}"
    if kind != OWN:
        raise DatasetError(
            f"Only images of your own, the dataset `{OWN}`, have further names after a colon, but "
            f"got '{kind}:{own}'; use `{kind}`, or `{usable}` for images of yours."
        )
    if not is_usable_name(own):
        raise DatasetError(
            f"The NAME in {OWN}:NAME must have 1 to {LONGEST} small letters a-z, digits, - and _, "
            f"and begin with a letter or digit, but got {own!r}; use `{usable}`."
        )
    return replace(DATASETS[OWN], name=f"{OWN}:{own}")
