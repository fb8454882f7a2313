"""Reads CIFAR-100 (Krizhevsky 2009) from its Python archive: the pickles `train`, `test`, `meta`.

The source is `cifar-100-python.tar.gz`, as torchvision downloads it, or the folder extracted from
it. The classes are the fine ones. Any archive of the same layout works, also with fewer classes.
"""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.archives.memory import MemoryTree
from datasets.archives.tar import TarTree
from datasets.archives.tree import open_tree
from datasets.sources.cifar_pickle import as_text, describe_value, load
from datasets.spec import Archive, DatasetError, DatasetSpec, Listing, Sample, Source

ARCHIVE = Archive(
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    size_bytes=169_001_437,
    md5="eb9058c3a382ffc7106e4002c42a8d85",
)
"""This is the official archive. It is downloaded if the user names no source."""
SIDE = 32
"""The images have this many pixels a side."""
FILES = ("train", "test", "meta")
"""An archive holds these three files in one folder."""


def open_source(path: Path) -> Source:
    """Returns the tree at `path`: a folder, a tar.gz or a zip archive.

    Raises `DatasetError` in the same cases as `datasets.archives.tree.open_tree`; a damaged tar.gz
    archive raises it when it is read.
    """
    if path.is_file() and not zipfile.is_zipfile(path):
        return TarTree(path)
    return open_tree(path)


def list_samples(tree: Source) -> Listing:
    """Lists all images of both splits. Raises `DatasetError` if the files aren't CIFAR-100's."""
    top = _find_top(tree)
    path = f"{top}meta"
    try:
        names = _class_names(tree.read(path))
        samples: dict[str, tuple[Sample, ...]] = {}
        contents: dict[str, bytes] = {}
        for part in ("train", "test"):
            path = f"{top}{part}"
            pixels, labels = _images(tree.read(path), len(names))
            paths = [f"{part}/{number:05d}" for number in range(len(labels))]
            samples[part] = tuple(
                Sample(path=path, label=label) for path, label in zip(paths, labels, strict=True)
            )
            contents.update(zip(paths, map(_ppm, pixels), strict=True))
    except ValueError as error:
        raise DatasetError(
            f"{path} in {tree.root} must be a file of CIFAR-100, but {error}; download the "
            "archive again."
        ) from error
    return Listing(
        class_ids=names,
        class_names=tuple(name.replace("_", " ") for name in names),
        train=samples["train"],
        test=samples["test"],
        images=MemoryTree(tree.root, contents),
        ignored=tuple(f"{top}{name}" for name in FILES),
    )


def _find_top(tree: Source) -> str:
    """Returns the folder that holds the three files: an empty path, or one that ends in `/`.

    If there are several, the one nearest to the root counts. Raises `DatasetError` if there is
    none.
    """
    files = tree.files()
    tops = {path.removesuffix("meta") for path in files if f"/{path}".endswith("/meta")}
    whole = [top for top in tops if all(f"{top}{name}" in files for name in FILES)]
    if not whole:
        raise DatasetError(
            f"{tree.root} must hold CIFAR-100's files {', '.join(FILES)} in one folder, but "
            "doesn't; pass cifar-100-python.tar.gz or the folder extracted from it."
        )
    return min(whole, key=lambda top: (top.count("/"), top))


def _class_names(data: bytes) -> tuple[str, ...]:
    """Returns the names in the pickle `meta`.

    Raises `ValueError` unless there are two or more, unique and in alphabetical order.
    """
    names = load(data).get("fine_label_names")
    if not isinstance(names, list) or len(names) < 2:
        raise ValueError("it has no list fine_label_names of 2 names or more")
    texts = tuple(as_text(name) for name in names)
    if sorted(set(texts)) != list(texts):
        raise ValueError("its fine_label_names are not unique and in alphabetical order")
    return texts


def _images(data: bytes, classes: int) -> tuple[NDArray[np.uint8], list[int]]:
    """Returns pixels and labels of one part.

    The pixels are uint8 (n, 3072), planes of red, green and blue. Raises `ValueError` if shapes or
    labels are wrong.

    classes: number of classes; labels must be smaller.
    """
    content = load(data)
    pixels, labels = content.get("data"), content.get("fine_labels")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != 3 * SIDE**2:
        raise ValueError(f"it has no array data with rows of {3 * SIDE**2}")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise ValueError(f"it has no list fine_labels of {len(pixels)} labels")
    for label in labels:
        if type(label) is not int or not 0 <= label < classes:
            raise ValueError(f"the label {describe_value(label)} in it is none of 0…{classes - 1}")
    return pixels, labels


def _ppm(row: NDArray[np.uint8]) -> bytes:
    """Returns one image as a PPM file, which Pillow reads: a header, then the pixels in order.

    row: uint8 (3072,), planes of red, green and blue.
    """
    return b"P6 %d %d 255\n" % (SIDE, SIDE) + row.reshape(3, -1).T.tobytes()


CIFAR100 = DatasetSpec(
    name="cifar100",
    summary="CIFAR-100: 100 classes, 50,000 + 10,000 images of 32 px",
    terms="CIFAR-100 comes without a licence: its authors ask to cite Krizhevsky (2009), «Learning "
    "Multiple Layers of Features from Tiny Images». Its images were collected from the web, and "
    "the rights in them are their owners'.",
    image_size=SIDE,
    nominal_train_images=45_000,
    list_samples=list_samples,
    open_source=open_source,
    archive=ARCHIVE,
)
"""This specification describes the whole dataset CIFAR-100."""
