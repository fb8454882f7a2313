"""Reads a user's own images: ROOT/train/CLASS/… and ROOT/test/CLASS/… or ROOT/val/CLASS/…."""

import sys

from datasets.census.names import find_name_faults, normalise_name, shorten_list
from datasets.sources.layout import (
    TRAIN_NAMES,
    find_class_faults,
    find_empty,
    find_train,
    images_by_class,
    label_images,
    list_folder,
)
from datasets.spec import DatasetError, DatasetSpec, Listing, Source

TEST_NAMES = ("test", "testing", "val", "valid", "validation")
"""The folder of the split that becomes test has one of these names, in any case.

Of several folders, the first in this order that shares a class with train counts.
"""

Classes = dict[str, list[str]]
"""A mapping of this type holds the paths of the images of each class; both are sorted."""


def list_samples(source: Source) -> Listing:
    """Lists every image in a class folder, at any depth below it.

    Raises `DatasetError` with a sentence for each fault: a split that is missing, fewer than two
    classes, a class name that can't be used, and a class with images in only one of the splits.
    """
    train_folder = find_train(source, TRAIN_NAMES)
    train = images_by_class(source, train_folder)
    if not any(train.values()):
        raise DatasetError(
            f"{train_folder} in {source.root} must hold a folder of images a class, but holds "
            f"{shorten_list(list_folder(source, train_folder))}; put them into train/CLASS/ and "
            "test/CLASS/."
        )
    test_folder, test = _find_test(source, train_folder, train)
    train_name, test_name = train_folder.split("/")[-2], test_folder.split("/")[-2]
    faults = find_name_faults(train_name, train) + find_name_faults(test_name, test)
    empty = find_empty(train, train_folder) + find_empty(test, test_folder)
    train, test = _with_images(train), _with_images(test)
    if faults := faults or _class_faults(source, (train_name, train), (test_name, test)):
        raise DatasetError(faults)
    names = tuple(train)
    return Listing(
        class_ids=names,
        class_names=names,
        train=label_images(train),
        test=label_images(test),
        splits=(train_folder, test_folder),
        empty_classes=empty,
    )


def _with_images(classes: Classes) -> Classes:
    """Returns the classes that have images, sorted by their composed names."""
    found = {normalise_name(name): paths for name, paths in classes.items() if paths}
    return dict(sorted(found.items()))


def _class_faults(
    source: Source, train: tuple[str, Classes], test: tuple[str, Classes]
) -> list[str]:
    """Returns a sentence for each fault in the classes of both splits, whose names come first."""
    faults = find_class_faults(source, train, test, "add them or remove the class")
    if len(train[1]) < 2:
        faults.append(
            f"A dataset must have at least 2 classes, but {source.root} has {len(train[1])}; "
            "put images of another one into train/CLASS/ and test/CLASS/."
        )
    return faults


def _find_test(source: Source, train_folder: str, train: Classes) -> tuple[str, Classes]:
    """Returns the path of the folder of the split that becomes test, with `/` at its end, and the
    images in it by class.

    Prints a note to standard error if other folders with images could be meant. Raises
    `DatasetError` if there is none.
    """
    top = train_folder[: train_folder[:-1].rfind("/") + 1]
    there = list_folder(source, top)
    folders = {
        name: images_by_class(source, f"{top}{name}")
        for wanted in TEST_NAMES
        for name in there
        if name.lower() == f"{wanted}/"
    }
    usable = [name for name, classes in folders.items() if any(classes.values())]
    usable.sort(key=lambda name: not folders[name].keys() & train.keys())
    if not usable:
        raise DatasetError(
            f"{source.root} must hold test/CLASS/ or val/CLASS/ with images beside "
            f"{train_folder}, but holds {shorten_list(there)}; move about a tenth of each class "
            "into test/."
        )
    if len(usable) > 1:
        print(
            f"{source.root} holds {' and '.join(usable)}: {usable[0]} is used as test, "
            f"{', '.join(usable[1:])} is not (the search takes its own val out of train).",
            file=sys.stderr,
        )
    return f"{top}{usable[0]}", folders[usable[0]]


FOLDER = DatasetSpec(
    name="folder",
    summary="your own images: --source ROOT with train/CLASS/ and test/CLASS/ or val/CLASS/; "
    "folder:NAME for further ones, each under a NAME of its own",
    terms="The images are the user's own, and on what terms they may be used isn't known here.",
    image_size=64,
    any_size=True,
    list_samples=list_samples,
)
"""This specification describes a folder or zip archive with a user's own images."""
