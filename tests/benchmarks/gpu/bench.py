"""What the sections of the GPU benchmark share: images, and how a measurement is asked for."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datasets.access import open_search_data
from datasets.splits import SearchData, Split
from tests.benchmarks import measure
from tests.benchmarks.gpu.made_images import write_zip
from tests.benchmarks.measure import Goal, last_json
from tests.benchmarks.workload import DATASET

SIZE = {"classes": 200, "images": 500, "test_images": 50}
"""The made-up images are as many as Tiny ImageNet's."""
MINI_SIZE = {"classes": 4, "images": 40, "test_images": 4}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing to measure. `make` returns the `value`, in `unit`, and its details."""

    name: str
    unit: str
    make: Callable[[], dict[str, Any]]
    goal: Goal | None = None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The images that all sections work with, the folder `work` of images and runs, and whether
    everything is in miniature.

    beside: another version's checkout, whose steps are measured in turn with ours.
    """

    mini: bool
    work: Path
    beside: Path | None = None

    @property
    def zip(self) -> Path:
        """The made-up images, in Tiny ImageNet's layout."""
        return self.work / "images.zip"

    @property
    def prepared(self) -> Path:
        """The folder of the dataset that is made of them."""
        return self.work / "data" / DATASET

    def prepare(self) -> None:
        """Draws and converts the images, unless an earlier command did."""
        self.work.mkdir(parents=True, exist_ok=True)
        if not self.zip.exists():
            write_zip(self.zip, **(MINI_SIZE if self.mini else SIZE))
        if not (self.prepared / "manifest.json").exists():
            to = ["--source", self.zip, "--data", self.prepared.parent]
            measure.run(["-m", "datasets.prepare", DATASET, *to])

    @cached_property
    def data(self) -> SearchData:
        """What a search sees of the images."""
        return open_search_data(self.prepared)

    def every(self, step: int) -> SearchData:
        """Every `step`-th image of each split, all of them in miniature."""

        def thin(split: Split) -> Split:
            return replace(split, indices=np.ascontiguousarray(split.indices[:: self.few(step, 1)]))

        d = self.data
        parts = {"train": d.train, "val": d.val, "train_sample": d.train_sample}
        return replace(d, **{name: thin(split) for name, split in parts.items()})

    def few(self, many: Any, few: Any) -> Any:
        """The second in miniature, else the first."""
        return few if self.mini else many

    def in_child(
        self, function: Callable[..., Any], *given: Any, env: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """What `function(bench, *given)` of a module returns, called in a process of its own."""
        return last_json(measure.run(self.child(function, *given), env=env)[1])

    def child(self, function: Callable[..., Any], *given: Any) -> list[str]:
        """The command of such a process, which prints the result as JSON on its last line."""
        words = [function.__module__, function.__name__, int(self.mini), self.work]
        return ["-m", "tests.benchmarks.gpu.child", *map(str, words), json.dumps(given)]


def pick(found: Callable[[], dict[str, Any]], key: str) -> dict[str, Any]:
    """One of several results that `found`, which is called once, makes together."""
    result = found()[key]
    return result if isinstance(result, dict) else {"value": result}


def describe_card(bench: Bench) -> dict[str, Any]:
    """The first GPU's name, empty without one, and what its numbers depend on."""
    import torch

    from trainables.training.gpu_settings import describe_gpu

    if not torch.cuda.is_available():
        return {"card": "", "uuid": ""}
    device = torch.device("cuda")
    found = torch.cuda.get_device_properties(device)
    return {"card": found.name, "uuid": str(found.uuid), **describe_gpu(device)}
