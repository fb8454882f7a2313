"""Helps the readers of folder layouts: finds where the data begins, and which files are images."""

from collections.abc import Collection, Iterable, Mapping

from datasets.census.image_formats import HEAD_BYTES, has_image_suffix, is_image_head
from datasets.census.names import find_twin, quote_name, shorten_list
from datasets.spec import DatasetError, Sample, Source

TRAIN_NAMES = ("train", "training")
"""The folder with the official training split has one of these names, in any case."""


def find_train(source: Source, names: Iterable[str] = ("train",)) -> str:
    """Returns the path of the training split's folder, with `/` at its end.

    Archives often hold one outer folder. If there are several, the one nearest to the root counts.
    Raises `DatasetError` if there is none, or if several lie side by side.

    names: the names that the folder may have, in small letters; the first that exists counts.
    """
    found = set[tuple[str, ...]]()
    for name in names:
        for path in source.files():
            folders = path.split("/")[:-1]
            split = next((n for n, folder in enumerate(folders) if folder.lower() == name), None)
            if split is not None:
                found.add(tuple(folders[: split + 1]))
        if found:
            break
    if not found:
        raise DatasetError(
            f"{source.root} must hold a folder train/ with one folder a class, but holds "
            f"{shorten_list(list_folder(source, '')) or 'nothing'}; {_remedy(source)}."
        )
    depth = min(map(len, found))
    first, *others = sorted(parts for parts in found if len(parts) == depth)
    beside = [parts[-1] for parts in others if parts[:-1] == first[:-1]]
    if beside:
        raise DatasetError(
            f"{source.root} must hold one folder train/, but holds "
            f"{shorten_list([first[-1], *beside])} side by side; remove or rename all but one."
        )
    return "".join(f"{part}/" for part in first)


def _remedy(source: Source) -> str:
    """Returns advice to the user about a source without `train/`."""
    if images_by_class(source, ""):
        return "to make train/ and test/ of folders of images, see docs/guides/tutorial.md"
    return "pass the archive or the folder that train/ lies in"


def list_folder(source: Source, folder: str) -> list[str]:
    """Returns the names of what lies directly in a folder, sorted; those of folders end in `/`.

    folder: the path of the folder; it is empty or ends in `/`.
    """
    found = set()
    for path in (*source.files(), *source.empty_folders()):
        if path.startswith(folder):
            name, slash, _ = path.removeprefix(folder).partition("/")
            found.add(name + slash)
    return sorted(found - {""})


def images_by_class(source: Source, folder: str) -> dict[str, list[str]]:
    """Returns the paths of the images below each class folder of `folder`, at any depth.

    Classes and paths are sorted. A class folder without images has an empty list.

    folder: the path of the folder; it is empty or ends in `/`.
    """
    found: dict[str, list[str]] = {
        name.removesuffix("/"): [] for name in list_folder(source, folder) if name.endswith("/")
    }
    for path in source.files():
        inside = path.removeprefix(folder)
        if path.startswith(folder) and "/" in inside and is_image(source, path):
            found[inside.split("/")[0]].append(path)
    return found


def label_images(classes: Mapping[str, list[str]]) -> tuple[Sample, ...]:
    """Returns the samples of all classes in order; a class's label is its position in `classes`."""
    return tuple(
        Sample(path=path, label=label)
        for label, paths in enumerate(classes.values())
        for path in paths
    )


def find_class_faults(
    source: Source,
    train: tuple[str, Collection[str]],
    test: tuple[str, Collection[str]],
    remedy: str,
) -> list[str]:
    """Returns a sentence for each split that lacks classes of the other one.

    train, test: the name of the split's folder, and the classes that have images in it.
    remedy: the end of the sentences.
    """
    faults = []
    for (have, here), (lack, there) in ((test, train), (train, test)):
        if alone := sorted(set(here) - set(there)):
            shown = shorten_list([_with_twin(name, there, lack) for name in alone])
            faults.append(
                f"Every class must have images in {train[0]} and {test[0]}, but {shown} has some "
                f"in {have} and none in {lack} of {source.root}; {remedy}."
            )
    return faults


def _with_twin(name: str, others: Collection[str], split: str) -> str:
    """Returns the name, and beside it a name of the other split that differs in case alone."""
    twin = find_twin(name, others)
    return f"{name} ({quote_name(twin)} in {split} is written otherwise)" if twin else name


def is_image(source: Source, path: str) -> bool:
    """Returns whether a file is an image by its name, or else by its first bytes."""
    return has_image_suffix(path) or is_image_head(source.read_head(path, HEAD_BYTES))


def shorten_faults(faults: list[str], shown: int = 5) -> list[str]:
    """Returns the first `shown` sentences, and one more with the number of the others."""
    more = [f"There are {len(faults) - shown} more faults of these kinds."]
    return faults[:shown] + (more if len(faults) > shown else [])


def find_empty(classes: Mapping[str, list[str]], folder: str) -> tuple[str, ...]:
    """Returns the paths of the class folders below `folder` that have no images."""
    return tuple(f"{folder}{name}" for name, paths in classes.items() if not paths)
