"""The datasets that the project knows by name."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from datasets.sources.cifar100 import CIFAR100
from datasets.sources.demo import DEMO
from datasets.sources.folder import FOLDER
from datasets.sources.tiny_imagenet import TINY_IMAGENET, TINY_IMAGENET_20
from datasets.spec import DatasetError, DatasetSpec

DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec for spec in (CIFAR100, DEMO, FOLDER, TINY_IMAGENET, TINY_IMAGENET_20)
}


def find(name: str) -> DatasetSpec:
    """The dataset called `name`. Raises `DatasetError`, with a likely name where there is one."""
    if name in DATASETS:
        return DATASETS[name]
    hint = meant(name, DATASETS, f"known are {', '.join(sorted(DATASETS))}.")
    if Path(name).exists():
        hint = f"images of your own are the dataset `folder`, with --source {name}."
    raise DatasetError(f"{name!r} is no dataset; {hint}")


def meant(word: str, known: Iterable[str], otherwise: str) -> str:
    """The word that was probably meant, as a question; `otherwise` where there is none."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else otherwise
