"""Reads a user's own images: ROOT/train/CLASS/… and ROOT/test/CLASS/… or ROOT/val/CLASS/…."""

import sys

from datasets.sources.layout import check_classes, find_top, images_by_class, label_images
from datasets.spec import DatasetError, DatasetSpec, Listing, Tree


def list_samples(tree: Tree) -> Listing:
    """Lists every image in a class folder, at any depth below it; test/ takes precedence over val/.

    Raises `DatasetError` without train/, without both test/ and val/, with fewer than two classes,
    and if a class has images in only one of the two splits.
    """
    top = find_top(tree)
    train = images_by_class(tree, f"{top}train/")
    test, held_out = _find_held_out(tree, top)
    check_classes(tree, train, test, held_out, "add them or remove the class")
    if len(train) < 2:
        raise DatasetError(
            f"A dataset must have at least 2 classes, but {tree.root} has {len(train)}; "
            "put the images into train/CLASS/."
        )
    return Listing(
        class_ids=tuple(train),
        class_names=tuple(train),
        train=label_images(train),
        test=label_images(test),
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


FOLDER = DatasetSpec(
    name="folder",
    summary="your own images: --source ROOT with train/CLASS/ and test/CLASS/ or val/CLASS/",
    terms="The images are the user's own, and on what terms they may be used isn't known here.",
    image_size=64,
    any_size=True,
    list_samples=list_samples,
)
"""This specification describes a folder or zip archive with a user's own images."""
