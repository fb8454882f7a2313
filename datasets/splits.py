"""Splits images into train, val and test: deterministically, and stratified by class."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 20_200
"""This seed decides which images become val; it is the same for every study."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """A split is a selection of images in one beton file.

    indices: int64 positions of the images in the file `beton`, sorted.
    """

    name: str
    beton: Path
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        """Returns the number of images in the split."""
        return len(self.indices)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Images:
    """An `Images` holds the properties that all splits of a dataset share.

    fingerprint: sha256 of the content, see `datasets.manifest.Manifest`.
    class_ids, class_names: the classes' identifiers and readable names, in the order of the labels.
    size: side of the stored images in pixels.
    mean, std: mean and standard deviation of each channel (RGB) over train without val, in units of
    pixel / 255. A constant channel has a std of 1.
    white: the value that was stored as 255 in 16-bit and float images, or `None` where the training
    split isn't known to have any.
    """

    fingerprint: str
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    white: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SearchData:
    """A `SearchData` holds the splits that a search may see. Test is left out on purpose.

    images: properties that all splits share.
    train: the images that trials train on.
    val: the images that the search's decisions depend on.
    train_sample: a fixed sample of `train`, as large as `val`, for the clean training accuracy that
    the gap is computed from.
    """

    images: Images
    train: Split
    val: Split
    train_sample: Split


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FinalData:
    """A `FinalData` holds the splits that final training sees.

    images: properties that all splits share.
    train: train and val together.
    test: the images that final training opens once, at its end.
    """

    images: Images
    train: Split
    test: Split


def stratified_split(
    labels: NDArray[np.int64],
    fraction: float,
    seed: int = SPLIT_SEED,
    *,
    groups: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Splits images by class and returns the sorted indices (rest, part).

    Each class of n images gives `round(fraction * n)` of them to part. A class of two or more
    images gives at least one, and a class of one image gives none. A group of images is never
    divided, so that a class with groups may give a few more or fewer, and none if it is one group.

    labels: int64 (n,), the class of each image.
    groups: int64 (n,), the group of each image; by default each image is a group of its own.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    generator = np.random.default_rng(seed)
    part: set[int] = set()
    rest: set[int] = set()
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        size = max(1, round(fraction * len(members))) if len(members) > 1 else 0
        own = Counter(groups[generator.permutation(members)].tolist())
        # What another class has decided about a group holds here too.
        missing = size - sum(count for group, count in own.items() if group in part)
        for group, count in own.items():
            if group in part or group in rest:
                continue
            chosen = count <= missing
            missing -= count if chosen else 0
            (part if chosen else rest).add(group)
    inside = np.isin(groups, list(part))
    return np.flatnonzero(~inside), np.flatnonzero(inside)


def stratified_sample(
    labels: NDArray[np.int64], part: NDArray[np.int64], seed: int = SPLIT_SEED
) -> NDArray[np.int64]:
    """Returns sorted indices of images outside `part`, as many of each class as `part` has.

    A class with too few images outside `part` gives all of them.

    labels: int64 (n,), the class of each image.
    part: int64 indices into `labels`.
    """
    generator = np.random.default_rng([seed, 1])
    outside = np.setdiff1d(np.arange(len(labels)), part, assume_unique=True)
    chosen = [
        generator.permutation(outside[labels[outside] == label])[:count]
        for label, count in zip(*np.unique(labels[part], return_counts=True), strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
