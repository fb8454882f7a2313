"""Defines what a dataset is, where its images come from, and how a source is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from common.errors import UserError
from datasets.census.code_pages import CodePage
from datasets.census.image_sizes import ImageSizes
from datasets.census.left_out import Census, LeftOut


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
