"""Describes written betons: their split, statistics and copies, in a manifest."""

import hashlib
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from datasets.access import TEST_FILE, TRAIN_FILE
from datasets.archives.tree import fingerprint
from datasets.beton.writer import BetonContents, FileFacts
from datasets.census.copies import Copies, count_copies, group_equal
from datasets.census.names import shorten_list
from datasets.census.value_range import ValueRange, exceeds
from datasets.manifest import Manifest
from datasets.spec import DatasetError, Listing, Tree
from datasets.splits import SPLIT_SEED, stratified_sample, stratified_split


def describe(
    name: str,
    tree: Tree,
    listing: Listing,
    size: int,
    val_fraction: float,
    written: dict[str, BetonContents],
    facts: dict[str, FileFacts],
    white: int | None,
) -> Manifest:
    """Returns the manifest of the two written files, with the split into train and val.

    Raises `DatasetError` for a class whose training images are all copies.

    white: the value that became 255 in 16-bit and float images, if train has any.
    """
    train, test = written[TRAIN_FILE], written[TEST_FILE]
    groups = group_equal(np.concatenate([train.digests, test.digests]))
    own = groups[: len(train.labels)]
    rest, val = stratified_split(train.labels, val_fraction, groups=own)
    _check_val(listing, train.labels[val])
    classes = len(listing.class_ids)
    mean, std = _mean_and_std(train.moments[rest], size)
    return Manifest(
        dataset=name,
        fingerprint=_content_fingerprint(listing.class_ids, size, [train, test], val),
        class_ids=listing.class_ids,
        class_names=listing.class_names,
        image_size=size,
        train_per_class=tuple(np.bincount(train.labels, minlength=classes).tolist()),
        test_per_class=tuple(np.bincount(test.labels, minlength=classes).tolist()),
        mean=mean,
        std=std,
        split_seed=SPLIT_SEED,
        val_fraction=val_fraction,
        val=tuple(val.tolist()),
        train_sample=tuple(stratified_sample(train.labels, val).tolist()),
        files={file: {"bytes": f.bytes, "sha256": f.sha256} for file, f in facts.items()},
        source=str(tree.root.resolve()),
        source_fingerprint=fingerprint(tree),
        skipped=tuple((b.path, b.reason) for part in written.values() for b in part.broken),
        left_out=listing.left_out,
        copies=_copies(groups, listing, train, test),
        original_sizes=listing.sizes,
        code_page=listing.code_page,
        value_range=_value_range(white, train, test),
        versions={package: version(package) for package in ("ffcv", "numpy", "pillow")},
        prepared_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _value_range(white: int | None, train: BetonContents, test: BetonContents) -> ValueRange | None:
    """Returns which values the 16-bit and float images have, if train has any."""
    if white is None:
        return None
    return ValueRange(
        white=white,
        images=len(train.peaks) + len(test.peaks),
        largest=float(train.peaks.max()),
        clipped=sum(exceeds(peak, white) for peak in test.peaks.tolist()),
    )


def _copies(
    groups: NDArray[np.int64], listing: Listing, train: BetonContents, test: BetonContents
) -> dict[str, Copies]:
    """Returns which images are equal, by kind.

    groups: int64 (n,), the group of each image, those of train first.
    """
    return count_copies(
        groups,
        np.concatenate([train.labels, test.labels]),
        np.arange(len(groups)) >= len(train.labels),
        [
            sample.path
            for samples, part in ((listing.train, train), (listing.test, test))
            for sample in compress(samples, part.decoded)
        ],
    )


def _content_fingerprint(
    class_ids: Sequence[str], size: int, parts: Sequence[BetonContents], val: NDArray[np.int64]
) -> str:
    """Returns a sha256 over class ids, image size, labels, pixels and the indices of val."""
    content = {
        "class_ids": list(class_ids),
        "size": size,
        "parts": [
            {
                "labels": hashlib.sha256(part.labels.astype("<i8").tobytes()).hexdigest(),
                "pixels": part.pixels_sha256,
            }
            for part in parts
        ],
        "val": val.tolist(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


Channels = tuple[float, float, float]


def _mean_and_std(moments: NDArray[np.int64], size: int) -> tuple[Channels, Channels]:
    """Returns mean and standard deviation of each channel, in units of pixel / 255.

    The sums are Python integers, which don't overflow, so the results are exact up to the last
    division.

    moments: int64 (n, 3, 2), see `Chunk`.
    size: side of the images in pixels.
    """
    pixels = len(moments) * size * size
    means, stds = [], []
    for total, squares in moments.sum(axis=0).tolist():
        means.append(total / pixels / 255)
        stds.append(math.sqrt(pixels * squares - total * total) / pixels / 255)
    return (means[0], means[1], means[2]), (stds[0], stds[1], stds[2])


def _check_val(listing: Listing, labels: NDArray[np.int64]) -> None:
    """Raises `DatasetError` for classes without an image in val, which their copies cause.

    labels: int64 (n,), the classes of the images in val.
    """
    counts = np.bincount(labels, minlength=len(listing.class_ids))
    if without := [listing.class_ids[label] for label in np.flatnonzero(counts == 0)]:
        raise DatasetError(
            "Every class needs at least 2 different images in train (one of them for val), but the "
            f"images of {shorten_list(without)} are copies of one another; add others, or remove "
            "the class."
        )
