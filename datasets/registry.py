"""The datasets that the project knows by name."""

from difflib import get_close_matches

from datasets.cifar100 import CIFAR100
from datasets.demo import DEMO
from datasets.folder import FOLDER
from datasets.spec import DatasetError, DatasetSpec
from datasets.tiny_imagenet import TINY_IMAGENET, TINY_IMAGENET_20

DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec for spec in (CIFAR100, DEMO, FOLDER, TINY_IMAGENET, TINY_IMAGENET_20)
}


def find(name: str) -> DatasetSpec:
    """The dataset called `name`. Raises `DatasetError`, with a likely name where there is one."""
    if name in DATASETS:
        return DATASETS[name]
    close = get_close_matches(name, DATASETS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(DATASETS))}."
    raise DatasetError(f"{name!r} is no dataset; {hint}")
