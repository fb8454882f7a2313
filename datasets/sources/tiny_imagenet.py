"""Reads Tiny ImageNet (Le and Yang 2015) in its official layout: whole, or its first 20 classes.

The layout is train/WNID/images/*.JPEG, val/images/*.JPEG with val/val_annotations.txt, and
words.txt with the names. Any subset in the same layout works: classes and counts come from the
files.
"""

from dataclasses import replace

from common.text import printable
from datasets.census.names import normalise_entry, shorten_list, tell_apart
from datasets.sources.layout import (
    find_class_faults,
    find_empty,
    find_train,
    images_by_class,
    label_images,
    shorten_faults,
)
from datasets.spec import Archive, DatasetError, DatasetSpec, Listing, Sample, Source

ARCHIVE = Archive(
    url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    size_bytes=248_100_043,
    md5="90528d7ca1a48142e341f4ef8d21d0de",
)
"""This is the official archive. It is downloaded if the user names no source."""
FIRST_CLASSES = 20
"""The dataset tiny-imagenet-20 has this many classes."""
TERMS = (
    "Tiny ImageNet is a part of ImageNet at 64 px and has no licence of its own. ImageNet's terms "
    "allow non-commercial research and education only, and the rights in the images are their "
    "owners'."
)
"""These are the terms of use of the images, for model cards."""


def list_samples(tree: Source) -> Listing:
    """Lists the images of all classes.

    Raises `DatasetError` if the layout isn't the official one.
    """
    train_folder = find_train(tree)
    top = train_folder[: -len("train/")]
    folders = images_by_class(tree, train_folder)
    train = {class_id: paths for class_id, paths in folders.items() if paths}
    if not train:
        raise DatasetError(
            f"{tree.root} has no images in {top}train/CLASS/; extract the archive again."
        )
    test = _read_annotations(tree, top)
    test_classes = {class_id for _, class_id in test}
    if faults := find_class_faults(
        tree, ("train", train), ("val", test_classes), "extract the archive again"
    ):
        raise DatasetError(faults)
    index = {class_id: label for label, class_id in enumerate(train)}
    names = _class_names(tree, top)
    return Listing(
        class_ids=tuple(train),
        class_names=tell_apart(tuple(train), [names.get(each, each) for each in train]),
        train=label_images(train),
        test=tuple(Sample(path=path, label=index[class_id]) for path, class_id in test),
        splits=(train_folder, f"{top}val/images/"),
        ignored=_tables(tree, top),
        empty_classes=find_empty(folders, train_folder),
    )


def _tables(tree: Source, top: str) -> tuple[str, ...]:
    """Returns the files of the official layout that hold no image: names, labels and boxes."""
    named = {f"{top}wnids.txt", f"{top}words.txt", f"{top}val/val_annotations.txt"}
    return tuple(
        path
        for path in tree.files()
        if path in named or (path.startswith(f"{top}train/") and path.endswith("_boxes.txt"))
    )


def list_first_classes(tree: Source) -> Listing:
    """Lists the images of the first 20 classes in sorted order.

    Raises `DatasetError` if there are fewer classes, or the layout isn't the official one.
    """
    whole = list_samples(tree)
    if len(whole.class_ids) < FIRST_CLASSES:
        raise DatasetError(
            f"tiny-imagenet-20 needs a source with at least {FIRST_CLASSES} classes, but "
            f"{tree.root} has {len(whole.class_ids)}; use tiny-imagenet, which takes them all."
        )
    return replace(
        whole,
        class_ids=whole.class_ids[:FIRST_CLASSES],
        class_names=whole.class_names[:FIRST_CLASSES],
        train=tuple(sample for sample in whole.train if sample.label < FIRST_CLASSES),
        test=tuple(sample for sample in whole.test if sample.label < FIRST_CLASSES),
        ignored=whole.ignored
        + tuple(s.path for s in (*whole.train, *whole.test) if s.label >= FIRST_CLASSES),
    )


def _read_annotations(tree: Source, top: str) -> list[tuple[str, str]]:
    """Returns (path, class id) of every official validation image, sorted by path.

    Raises `DatasetError` if the annotations or the images that they name are missing.
    """
    annotations = f"{top}val/val_annotations.txt"
    try:
        lines = tree.read(annotations).decode("utf-8-sig", errors="replace").splitlines()
    except KeyError as error:
        raise DatasetError(
            f"{tree.root} must hold {annotations}, but it is missing; extract the archive again, "
            "or use the dataset `folder` when the images lie in val/CLASS/."
        ) from error
    found: dict[str, tuple[int, str]] = {}
    faults = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) < 2:
            faults.append(
                f"{annotations} in {tree.root} must read «file, tab, class», but line {number} is "
                f"{line[:60]!r}; extract the archive again."
            )
            continue
        path = f"{top}val/images/{_file_name(fields[0])}"
        if path in found:
            faults.append(
                f"{annotations} in {tree.root} must name each image once, but lines "
                f"{found[path][0]} and {number} both name {printable(fields[0])}; remove one."
            )
        found[path] = number, fields[1].strip()
    if faults:
        raise DatasetError(shorten_faults(faults))
    _check_complete(tree, annotations, list(found))
    return sorted((path, class_id) for path, (_, class_id) in found.items())


def _file_name(field: str) -> str:
    """Returns a field of the annotations as a path; one that leads out of its folder stays as it
    is, and is missing then.
    """
    try:
        return normalise_entry(field)
    except ValueError:
        return field


def _check_complete(tree: Source, annotations: str, paths: list[str]) -> None:
    """Raises `DatasetError` if an image that the annotations name is missing, or they name none."""
    files = tree.files()
    missing = [path for path in paths if path not in files]
    if missing or not paths:
        raise DatasetError(
            f"{tree.root} must hold every image that {annotations} names, but "
            f"{shorten_list(missing) or 'it names none'}: missing; extract the archive again."
        )


def _class_names(tree: Source, top: str) -> dict[str, str]:
    """Returns the first synonym for each class id; the result is empty without a words.txt."""
    path = f"{top}words.txt"
    if path not in tree.files():
        return {}
    pairs = (
        line.split("\t", 1) for line in tree.read(path).decode("utf-8-sig", "replace").splitlines()
    )
    return {pair[0]: pair[1].split(",")[0].strip() for pair in pairs if len(pair) == 2}


TINY_IMAGENET = DatasetSpec(
    name="tiny-imagenet",
    summary="Tiny ImageNet: 200 classes, 100,000 + 10,000 images of 64 px (or any subset)",
    terms=TERMS,
    of_imagenet=True,
    image_size=64,
    nominal_train_images=90_000,
    list_samples=list_samples,
    archive=ARCHIVE,
)
"""This specification describes the whole dataset."""
TINY_IMAGENET_20 = replace(
    TINY_IMAGENET,
    name="tiny-imagenet-20",
    summary="the first 20 classes of Tiny ImageNet",
    nominal_train_images=9_000,
    list_samples=list_first_classes,
)
"""This specification describes the first 20 classes of the dataset."""
