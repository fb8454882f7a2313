"""Finds copies: images that are equal to the last pixel once they are decoded and resized."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from common.text import printable
from datasets.census.left_out import EXAMPLES

TRAIN_AND_TEST, ACROSS_CLASSES, IN_ONE_CLASS = "train_and_test", "across_classes", "in_one_class"
"""These are the kinds of groups. A group that spans the splits and the classes is of both kinds."""

_MEANING = {
    TRAIN_AND_TEST: "both in train and in test, so that test is too easy",
    ACROSS_CLASSES: "in several classes, so that no network can get them all right",
    IN_ONE_CLASS: "several times in one class and split",
}


class Copies(TypedDict):
    """This mapping counts the groups of one kind, the images in them, and names the first groups.

    groups, images: the numbers of groups and of images in them.
    examples: the printable paths of the first few groups, joined by « = ».
    """

    groups: int
    images: int
    examples: list[str]


def group_equal(digests: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Returns the number of each image's group; equal images share a number.

    digests: uint8 (n, d), a digest of each image's pixels.
    """
    rows = np.ascontiguousarray(digests).view(np.dtype((np.void, digests.shape[1]))).reshape(-1)
    return np.unique(rows, return_inverse=True)[1].astype(np.int64)


def count_copies(
    groups: NDArray[np.int64],
    labels: NDArray[np.int64],
    in_test: NDArray[np.bool_],
    paths: Sequence[str],
) -> dict[str, Copies]:
    """Returns the groups of two or more equal images by kind; kinds without groups are left out.

    groups, labels: int64 (n,), the group and the class of each image, those of train first.
    in_test: bool (n,), whether the image is in the test split.
    paths: where each image lies in the source.
    """  # fmt: skip
    found: dict[str, Copies] = {}
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        if len(members) < 2:
            continue
        kinds = [
            kind
            for kind, values in ((TRAIN_AND_TEST, in_test), (ACROSS_CLASSES, labels))
            if len(set(values[members].tolist())) > 1
        ]
        for kind in kinds or [IN_ONE_CLASS]:
            copies = found.setdefault(kind, Copies(groups=0, images=0, examples=[]))
            copies["groups"] += 1
            copies["images"] += len(members)
            if len(copies["examples"]) < EXAMPLES:
                copies["examples"].append(" = ".join(printable(paths[n]) for n in members[:3]))
    return {kind: found[kind] for kind in _MEANING if kind in found}


def describe_copies(copies: Mapping[str, Copies]) -> list[str]:
    """Returns a line for each kind, such as «equal images: 3 groups (6 images) are …»."""
    return [
        f"equal images: {found['groups']:,} group{'s' if found['groups'] > 1 else ''} of "
        f"{found['images']:,} images in all {_MEANING[kind]} ({found['examples'][0]})"
        for kind, found in copies.items()
    ]
