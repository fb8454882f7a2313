"""What a dataset is: where its images come from, and how a source is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from common.errors import UserError


class DatasetError(UserError):
    """A dataset can't be made or used; the message names the rule, the value and the remedy."""


class Tree(Protocol):
    """A read-only tree of files: a folder, an archive, or images packed in a dataset's own way.

    Paths are relative, with forward slashes. `root` is where all of it comes from.
    """

    root: Path

    def files(self) -> dict[str, int]:
        """Every file's path and size in bytes, in sorted order."""

    def read(self, path: str) -> bytes:
        """The content of one file. Raises `KeyError` for a path that `files` doesn't list."""

    def part(self, paths: Sequence[str]) -> "Tree":
        """A tree for reading just these files, cheap to send to another process.

        Other files may or may not be in it.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One labelled image: its `path` inside the tree and its class, an index into `class_ids`."""

    path: str
    label: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Everything a source offers, before a single image was decoded.

    `train` is the official training split, `test` the official validation (or test) split.
    `class_ids` are unique and sorted, `class_names` are for people, in the same order.
    `images` holds the samples' files where the source itself doesn't hold each as a file.
    """

    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    images: Tree | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """A file to download: its address, exact size in bytes and md5 as published."""

    url: str
    size_bytes: int
    md5: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """A dataset the project knows by name.

    `list_samples` reads a tree's layout and raises `DatasetError` when it isn't this dataset's.
    `image_size` is the side in pixels that images are stored at unless told otherwise; with
    `any_size` they have none of their own, and a search stores them as large as it needs them.
    `terms` says on what terms its images may be used, in whole sentences, and `of_imagenet` whether
    they are ImageNet's own, which ImageNet's weights may have seen: model cards tell both.
    `open_source` opens a path, where not only a folder or a zip archive will do.
    At most one of `archive` (downloaded without `--source`) and `generate` (written into an
    empty folder without `--source`) is set; with neither, `--source` is required.
    """

    name: str
    summary: str
    terms: str
    image_size: int
    list_samples: Callable[[Tree], Listing]
    any_size: bool = False
    of_imagenet: bool = False
    open_source: Callable[[Path], Tree] | None = None
    archive: Archive | None = None
    generate: Callable[[Path], None] | None = None
