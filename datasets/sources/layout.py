"""Helps the readers of folder layouts: finds where the data begins, and which files are images."""

from collections.abc import Collection, Mapping

from datasets.spec import DatasetError, Sample, Tree

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""A file whose name ends like this, in any case, is an image."""


def find_top(tree: Tree) -> str:
    """Returns the path before `train/`, which is empty or ends in `/`.

    Archives often hold one outer folder. If there are several folders `train/`, the one nearest to
    the root counts. Raises `DatasetError` if there is none.
    """
    tops = set()
    for path in tree.files():
        folders = path.split("/")[:-1]
        if "train" in folders:
            tops.add(tuple(folders[: folders.index("train")]))
    if not tops:
        raise DatasetError(
            f"{tree.root} must hold a folder train/ with one folder a class, but it has none; "
            f"{_remedy(tree)}."
        )
    top = min(tops, key=lambda parts: (len(parts), parts))
    return "".join(f"{part}/" for part in top)


def _remedy(tree: Tree) -> str:
    """Returns advice to the user about a tree without `train/`."""
    if images_by_class(tree, ""):
        return "to make train/ and test/ of folders of images, see docs/guides/tutorial.md"
    return "pass the archive or the folder that train/ lies in"


def images_by_class(tree: Tree, folder: str) -> dict[str, list[str]]:
    """Returns the paths of the images below each class folder of `folder`, at any depth.

    Classes and paths are sorted. A class folder without images isn't listed.

    folder: the path of the folder; it is empty or ends in `/`.
    """
    found: dict[str, list[str]] = {}
    for path in tree.files():
        inside = path.removeprefix(folder)
        if path.startswith(folder) and "/" in inside and is_image(path):
            found.setdefault(inside.split("/")[0], []).append(path)
    return {name: found[name] for name in sorted(found)}


def label_images(classes: Mapping[str, list[str]]) -> tuple[Sample, ...]:
    """Returns the samples of all classes in order; a class's label is its position in `classes`."""
    return tuple(
        Sample(path=path, label=label)
        for label, paths in enumerate(classes.values())
        for path in paths
    )


def check_classes(
    tree: Tree, train: Collection[str], test: Collection[str], name: str, remedy: str
) -> None:
    """Raises `DatasetError` if a class has images in only one of train and test.

    name, remedy: the name of the folder of test, and the end of the error message.
    """
    for have, lack, ids in (
        (name, "train", set(test) - set(train)),
        ("train", name, set(train) - set(test)),
    ):
        if ids:
            raise DatasetError(
                f"Every class must have images in train and {name}, but "
                f"{shorten_list(sorted(ids))} has some in {have} and none in {lack} of "
                f"{tree.root}; {remedy}."
            )


def is_image(path: str) -> bool:
    """Returns whether the file name ends like an image's, in any case."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def shorten_list(names: list[str], shown: int = 5) -> str:
    """Returns the first `shown` names in one line, and the number of the others."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
