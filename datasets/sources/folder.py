"""Reads a user's own images: ROOT/train/CLASS/… and ROOT/test/CLASS/… or ROOT/val/CLASS/…."""

import sys

from datasets.sources.layout import find_top, images_by_class, shorten_list
from datasets.spec import DatasetError, DatasetSpec, Listing, Sample, Tree


def list_samples(tree: Tree) -> Listing:
    """Lists every image in a class folder, at any depth below it; test/ takes precedence over val/.

    Raises `DatasetError` without train/, without both test/ and val/, with fewer than two classes,
    and if a class has images in only one of the two splits.
    """
    top = find_top(tree)
    train = images_by_class(tree, f"{top}train/")
    test, held_out = _find_held_out(tree, top)
    for have, lack, ids in (
        ("train", held_out, set(train) - set(test)),
        (held_out, "train", set(test) - set(train)),
    ):
        if ids:
            raise DatasetError(
                f"Every class must have images in train and {held_out}, but "
                f"{shorten_list(sorted(ids))} has some in {have} and none in {lack} of "
                f"{tree.root}; add them or remove the class."
            )
    if len(train) < 2:
        raise DatasetError(
            f"A dataset must have at least 2 classes, but {tree.root} has {len(train)}; "
            "put the images into train/CLASS/."
        )
    return Listing(
        class_ids=tuple(train),
        class_names=tuple(train),
        train=_samples(train),
        test=_samples(test),
    )


def _find_held_out(tree: Tree, top: str) -> tuple[dict[str, list[str]], str]:
    """Returns the images of test/, or else of val/, by class, and that folder's name.

    Prints a note to standard error if both have images, and raises `DatasetError` if neither has.
    """
    test = images_by_class(tree, f"{top}test/")
    val = images_by_class(tree, f"{top}val/")
    if test and val:
        print(
            f"{tree.root} holds test/ and val/: test/ is used, val/ is not "
            "(the search takes its own val out of train).",
            file=sys.stderr,
        )
    if not test and not val:
        raise DatasetError(
            f"{tree.root} must hold test/CLASS/ or val/CLASS/ with images beside train/, but it "
            "has neither; move about a tenth of each class there."
        )
    return (test, "test") if test else (val, "val")


def _samples(classes: dict[str, list[str]]) -> tuple[Sample, ...]:
    """Returns the samples of all classes in order; a class's label is its position in `classes`."""
    return tuple(
        Sample(path=path, label=label)
        for label, paths in enumerate(classes.values())
        for path in paths
    )


FOLDER = DatasetSpec(
    name="folder",
    summary="your own images: --source ROOT with train/CLASS/ and test/CLASS/ or val/CLASS/",
    terms="The images are the user's own, and on what terms they may be used isn't known here.",
    image_size=64,
    any_size=True,
    list_samples=list_samples,
)
"""This specification describes a folder or zip archive with a user's own images."""
