"""Defines what a dataset is, what it is called, where its images come from, and how a source is
read.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from common.cli import quote_command
from common.errors import UserError
from datasets.census.code_pages import CodePage
from datasets.census.image_sizes import ImageSizes
from datasets.census.left_out import Census, LeftOut

OWN = "folder"
"""The dataset of a user's own images has this name; further ones are called `folder:NAME`."""

VAL_FRACTION = 0.1
"""This share of each class's official training images becomes val, unless the user chooses one."""

MAX_WORKERS = 1_024
"""At most this many processes decode."""
SMALLEST_PX, LARGEST_PX = 16, 512
"""Stored images have at least `SMALLEST_PX` and at most `LARGEST_PX` pixels a side."""
SMALLEST_VAL, LARGEST_VAL = 0.01, 0.5
"""Val is at least and at most this share of the training images."""

LONGEST = 40
"""The NAME in `folder:NAME` has at most this many characters, so that a node's copy, whose folder
also names the fingerprint, and the temporary files in it fit on every disk.
"""

_NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{LONGEST - 1}}}")
"""Capital letters are left out, as some disks don't tell `Flowers` from `flowers`."""


class DatasetError(UserError):
    """This error says that a dataset can't be made or used.

    Its message names the rule, the value and the remedy.
    """


class Tree(Protocol):
    """A tree gives read access to files in a folder, in an archive, or in a dataset's own format.

    Paths are relative and use forward slashes. `root` is the path that all files come from.
    """

    root: Path

    def files(self) -> dict[str, int]:
        """Returns the path and the size in bytes of every file, sorted by path."""

    def read(self, path: str) -> bytes:
        """Returns the content of one file.

        Raises `KeyError` for a path that `files` doesn't list.
        """

    def part(self, paths: Sequence[str]) -> "Tree":
        """Returns a tree that can read these files and is cheap to send to another process.

        The returned tree may contain other files too.
        """


class Source(Tree, Protocol):
    """A source is a tree that a user names: a folder or an archive, with more than its images."""

    def census(self) -> Census:
        """Returns what the source holds and `files` doesn't list, counted by reason."""
        return Census()

    def empty_folders(self) -> list[str]:
        """Returns the paths, with `/` at their ends, of the folders that hold nothing."""
        return []

    def code_page(self) -> CodePage | None:
        """Returns in which encoding an archive's names were read that don't state theirs."""
        return None

    def read_head(self, path: str, length: int) -> bytes:
        """Returns the first `length` bytes of a file, or all of a shorter one.

        The result is empty for a file that can't be read.
        """
        return self.read(path)[:length]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A sample is one labelled image.

    path: the image's path inside the tree.
    label: the image's class, an index into `Listing.class_ids`.
    """

    path: str
    label: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A listing names every image that a source offers, before the first one is decoded.

    class_ids: unique identifiers of the classes, sorted.
    class_names: names for people, in the order of `class_ids`.
    train: the official training split.
    test: the official validation or test split.
    images: a tree that holds the images, if the source doesn't store each one as a file.
    splits: the paths of the folders of both splits, each with `/` at its end.
    ignored: the paths of files that belong to the layout and aren't taken by design: tables of
    labels, and images of classes that the dataset leaves out.
    empty_classes: the paths of class folders that hold no image.
    left_out: what the source holds and the listing doesn't take, by reason (see
    `datasets.census.left_out.Reason`).
    sizes: how large the images are, if their dataset's images have no size of their own.
    code_page: in which encoding an archive's names were read that don't state theirs.
    """

    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    images: Tree | None = None
    splits: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    empty_classes: tuple[str, ...] = ()
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    sizes: ImageSizes | None = None
    code_page: CodePage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """An archive is a file to download, with its address, size in bytes and published MD5."""

    url: str
    size_bytes: int
    md5: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """A specification describes one dataset that the project knows by name.

    At most one of `archive` and `generate` is set. If neither is set, the user must pass
    `--source`.

    name: the name that users type.
    summary: one line about the dataset, for `--help`.
    terms: the terms of use of the images, in whole sentences. Model cards print them.
    image_size: side in pixels at which images are stored if the user doesn't choose one.
    nominal_train_images: the number of images in train, without val, if it is known before the
    dataset is prepared.
    list_samples: reads a tree's layout; it raises `DatasetError` if the layout is another
    dataset's.
    any_size: whether the images have no size of their own; a search then stores them as large as
    its networks need them.
    of_imagenet: whether the images are ImageNet's own, so that networks pretrained on ImageNet may
    have seen them. Model cards say so.
    open_source: opens a path, if the dataset takes more than folders and zip archives.
    archive: the file to download if the user passes no `--source`.
    generate: writes the images into an empty folder if the user passes no `--source`.
    """

    name: str
    summary: str
    terms: str
    image_size: int
    list_samples: Callable[[Source], Listing]
    nominal_train_images: int | None = None
    any_size: bool = False
    of_imagenet: bool = False
    open_source: Callable[[Path], Source] | None = None
    archive: Archive | None = None
    generate: Callable[[Path], None] | None = None


def prepared_folder(data: Path, dataset: str) -> Path:
    """Returns the folder of a prepared dataset: `data`/`folder-NAME` for `folder:NAME`, because a
    colon is no part of a file name on every system, and else `data`/`dataset`.
    """
    return data / folder_name(dataset)


def point_to_list(data: Path) -> str:
    """Returns the end of a sentence, which points to the list of the datasets prepared in `data`;
    it is empty where that folder doesn't exist.
    """
    command = quote_command("python -m datasets.list", data=data)
    return f"; `{command}` shows what is prepared" if data.is_dir() else ""


def folder_name(dataset: str) -> str:
    """Returns the name of the folder that a dataset of this name is prepared in."""
    own = dataset.removeprefix(f"{OWN}:")
    return dataset if own == dataset else f"{OWN}-{own}"


def dataset_name(folder: str) -> str:
    """Returns the name of the dataset that is prepared in a folder of this name."""
    own = folder.removeprefix(f"{OWN}-")
    return f"{OWN}:{own}" if own != folder and _NAME.fullmatch(own) else folder


def is_usable_name(own: str) -> bool:
    """Returns whether `own` can be the NAME in `folder:NAME`."""
    return _NAME.fullmatch(own) is not None


def make_usable_name(text: str) -> str:
    """Returns a NAME for `folder:NAME` that is as close as possible to a text, such as the name of
    a folder: small letters without accents, and `-` for everything else.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9_]+", "-", plain).strip("-_")[:LONGEST].rstrip("-_") or "images"


def find_free_dataset(source: Path, data: Path) -> str:
    """Returns a name `folder:NAME` for images from `source` that no prepared dataset in `data` has
    yet.
    """
    stem = make_usable_name(source.stem)
    number, found = 1, f"{OWN}:{stem}"
    while prepared_folder(data, found).exists():
        number += 1
        found = f"{OWN}:{stem[: LONGEST - 4]}-{number}"
    return found


def check_options(
    workers: int | None, size: int | None, val: float | None, zip_encoding: str | None
) -> None:
    """Raises `DatasetError` with a sentence for each option that is out of range or unknown."""
    faults = []
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        faults.append(f"workers must lie in 1…{MAX_WORKERS}, but got workers={workers}.")
    if size is not None and not SMALLEST_PX <= size <= LARGEST_PX:
        faults.append(f"size must lie in {SMALLEST_PX}…{LARGEST_PX} pixels, but got {size}.")
    if val is not None and not SMALLEST_VAL <= val <= LARGEST_VAL:
        faults.append(
            f"val must lie in {SMALLEST_VAL}…{LARGEST_VAL} of the training images, but got {val:g}."
        )
    try:
        "name".encode(zip_encoding or "ascii")
    except LookupError:
        faults.append(
            "--zip-encoding must be an encoding that Python knows, such as cp932, gb18030 or "
            f"cp1252, but got {zip_encoding!r}."
        )
    if faults:
        raise DatasetError(faults)


def prepare_command(
    name: str,
    source: Path | None,
    data: Path,
    zip_encoding: str | None,
    size: int | None = None,
    val: float | None = None,
    **flags: bool,
) -> str:
    """Returns the command with these arguments as it can be pasted into a shell."""
    words: list[object] = [] if source is None else ["--source", source]
    words += [] if zip_encoding is None else ["--zip-encoding", zip_encoding]
    words += [] if size is None else ["--size", size]
    words += [] if val is None else ["--val", val]
    words += [f"--{flag.replace('_', '-')}" for flag, is_set in flags.items() if is_set]
    return quote_command("python -m datasets.prepare", name, *words, data=data)
