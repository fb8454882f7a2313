"""Which images train, which decide, which are never seen: deterministic and stratified."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VAL_FRACTION = 0.1
SPLIT_SEED = 20_200


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """Some images of one beton file: `indices` (int64, sorted) into `beton`."""

    name: str
    beton: Path
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Images:
    """What holds for every split of a dataset.

    `mean` and `std` are per channel (RGB) over the training part, in units of pixel / 255.
    """

    fingerprint: str
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SearchData:
    """What a search may see. There is no test split here, on purpose.

    `train_sample` is a fixed sample of `train`, as large as `val`, for the clean accuracy
    that the gap is measured with.
    """

    images: Images
    train: Split
    val: Split
    train_sample: Split


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FinalData:
    """What final training sees: train + val together, and test, to be opened once."""

    images: Images
    train: Split
    test: Split


def stratified(
    labels: NDArray[np.int64], fraction: float = VAL_FRACTION, seed: int = SPLIT_SEED
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted indices of (rest, part), where part holds `fraction` of every class.

    Each class gives `round(fraction * n)` images, but at least one where it has two or more.
    """
    generator = np.random.default_rng(seed)
    part: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        wanted = max(1, round(fraction * len(members))) if len(members) > 1 else 0
        part.append(generator.permutation(members)[:wanted])
    chosen = np.sort(np.concatenate(part)) if part else np.empty(0, dtype=np.int64)
    rest = np.setdiff1d(np.arange(len(labels)), chosen, assume_unique=True)
    return rest.astype(np.int64), chosen.astype(np.int64)


def sample_like(
    labels: NDArray[np.int64], part: NDArray[np.int64], seed: int = SPLIT_SEED
) -> NDArray[np.int64]:
    """Sorted indices outside `part`, as many of every class as `part` has (or all there are)."""
    generator = np.random.default_rng([seed, 1])
    outside = np.setdiff1d(np.arange(len(labels)), part, assume_unique=True)
    chosen = [
        generator.permutation(outside[labels[outside] == label])[:count]
        for label, count in zip(*np.unique(labels[part], return_counts=True), strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
