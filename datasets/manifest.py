"""Reads and writes `manifest.json`, which describes prepared data.

A conversion writes the manifest last, so a folder with a manifest holds complete data.
"""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from common.files import checksum, file_sha256, read_json, sync_folder
from datasets.census.code_pages import CodePage
from datasets.census.copies import Copies
from datasets.census.image_sizes import ImageSizes
from datasets.census.left_out import LeftOut, Reason
from datasets.census.value_range import WHITES, ValueRange
from datasets.spec import (
    VAL_FRACTION,
    DatasetError,
    dataset_name,
    folder_name,
    prepare_command,
)

SCHEMA_VERSION = 1
"""Manifests of another version than this one are refused."""
FILE_NAME = "manifest.json"
"""The manifest of prepared data has this file name."""
OUTPUTS = "frozen-outputs"
"""Trainings keep outputs of frozen stages in this folder beside the prepared data."""
CHECKSUM_KEY = "sha256"
"""This key holds the checksum of all other keys; manifests of older versions have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A manifest describes one prepared dataset.

    fingerprint: sha256 over class ids, labels, pixels and split. The same content has the same
    fingerprint, whatever the path, the machine or the number of workers.
    image_size: side of the stored images in pixels.
    train_per_class, test_per_class: number of images of each class in the official splits. The
    training split includes val.
    mean, std: mean and standard deviation of each channel, in units of pixel / 255, over train
    without val.
    val, train_sample: sorted indices into the train file (see `SearchData`).
    files: size in bytes and sha256 of each file, by file name.
    source, source_fingerprint: path of the source, and the fingerprint of its files (see
    `datasets.archives.tree.fingerprint`).
    skipped: path and reason of each broken image that was left out.
    left_out: how many files of the source weren't taken for each reason (see
    `datasets.census.left_out.Reason`), with the first few paths; older manifests don't say.
    copies: groups of equal images by kind (see `datasets.census.copies`).
    original_sizes: how large a user's own images were before they were cropped and resized.
    code_page: in which encoding the names of a zip archive were read that aren't marked as UTF-8.
    value_range: the values of 16-bit and float images, if the training split has any; older
    manifests don't say.
    versions: versions of the packages that decoded and wrote the images.
    prepared_at: when the images were written, in UTC by ISO 8601; older manifests don't say.
    """

    dataset: str
    fingerprint: str
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    image_size: int
    train_per_class: tuple[int, ...]
    test_per_class: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    split_seed: int
    val_fraction: float
    val: tuple[int, ...]
    train_sample: tuple[int, ...]
    files: Mapping[str, Mapping[str, Any]]
    source: str
    source_fingerprint: str
    skipped: tuple[tuple[str, str], ...]
    versions: Mapping[str, str]
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    copies: Mapping[str, Copies] = field(default_factory=dict)
    original_sizes: ImageSizes | None = None
    code_page: CodePage | None = None
    value_range: ValueRange | None = None
    prepared_at: str | None = field(default=None, compare=False)
    schema_version: int = SCHEMA_VERSION

    @property
    def folder(self) -> str:
        """Returns the name of the folder that commands look for the dataset in."""
        return folder_name(self.dataset)

    @property
    def train_images(self) -> int:
        """Returns the number of images in train, without val."""
        return sum(self.train_per_class) - len(self.val)

    @property
    def val_images(self) -> int:
        """Returns the number of images in val."""
        return len(self.val)

    @property
    def chosen_val(self) -> float | None:
        """Returns the share of train that becomes val, or `None` if it is the default one."""
        return None if self.val_fraction == VAL_FRACTION else self.val_fraction

    @property
    def test_images(self) -> int:
        """Returns the number of images in test."""
        return sum(self.test_per_class)

    def describe_images(self) -> str:
        """Returns the number of classes, the number of images in each split, and their size."""
        return (
            f"{len(self.class_ids)} classes, {self.train_images:,} train + {self.val_images:,} val "
            f"+ {self.test_images:,} test images of {self.image_size} px"
        )

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Builds a manifest from parsed JSON. Raises `TypeError` for missing or unknown keys."""
        tuples = {f.name for f in fields(cls) if str(f.type).startswith("tuple")}
        values: dict[str, Any] = {k: tuple(v) if k in tuples else v for k, v in value.items()}
        return cls(**values)


def stage_manifest(manifest: Manifest, directory: Path) -> Path:
    """Writes the manifest to a temporary file beside `manifest.json` and returns that file's path.

    The caller renames the file to `manifest.json`.
    """
    partial = directory / f".{FILE_NAME}.partial"
    value = asdict(manifest)
    value[CHECKSUM_KEY] = checksum(value)
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, allow_nan=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return partial


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Writes `manifest.json` atomically: after a crash the file is complete or unchanged."""
    stage_manifest(manifest, directory).replace(directory / FILE_NAME)
    sync_folder(directory)


def remake_command(
    directory: Path, *, overwrite: bool = False, manifest: Manifest | None = None
) -> str:
    """Returns the command that makes this folder's data, or makes them again.

    manifest: what is known of the data. If nothing is, the user must know their source.
    """
    source = size = encoding = val = None
    if manifest is not None:
        size, val = manifest.image_size, manifest.chosen_val
        page = manifest.code_page
        encoding = page["encoding"] if page and not page["guessed"] else None
        # A download may have been removed since.
        source = Path(manifest.source) if os.access(manifest.source, os.F_OK) else None
    name, data = dataset_name(directory.name), directory.parent
    command = prepare_command(name, source, data, encoding, size, val, overwrite=overwrite)
    return f"`{command}`" + ("" if manifest else ", with --source for images of your own")


def read_manifest(directory: Path) -> Manifest:
    """Returns the manifest in `directory`, after it has checked the sizes of the files.

    Raises `DatasetError` if the manifest is missing, damaged or of another version, and if a file
    is missing or has another size: a process that maps a truncated file into memory is killed.
    """
    manifest = parse_manifest(directory / FILE_NAME)
    for name, facts in manifest.files.items():
        _check_size(directory / name, facts["bytes"], manifest)
    return manifest


def parse_manifest(path: Path) -> Manifest:
    """Returns the manifest at `path` without looking at the files that it describes.

    Raises `DatasetError` if the manifest is missing, damaged or of another version.
    """
    directory = path.parent
    try:
        value = read_json(path)
        version = value["schema_version"]
        if version != SCHEMA_VERSION:
            raise DatasetError(
                f"{path} must have schema_version {SCHEMA_VERSION}, but has {version}; "
                f"make the data anew with {remake_command(directory, overwrite=True)}."
            )
        if value.pop(CHECKSUM_KEY, None) not in (None, checksum(value)):
            raise ValueError("its checksum is wrong")
        manifest = Manifest.from_json(value)
        _check_values(manifest)
        if not all({"bytes", "sha256"} <= facts.keys() for facts in manifest.files.values()):
            raise KeyError("files")
    except FileNotFoundError as error:
        raise DatasetError(
            f"{directory} holds no prepared data ({FILE_NAME} is missing); make it with "
            f"{remake_command(directory)}."
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{path} is damaged ({error}); make the data anew with "
            f"{remake_command(directory, overwrite=True)}."
        ) from error
    return manifest


def has_other_version(directory: Path) -> bool:
    """Returns whether the manifest in `directory` is readable, and of another version."""
    try:
        return bool(read_json(directory / FILE_NAME)["schema_version"] != SCHEMA_VERSION)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def _check_values(manifest: Manifest) -> None:
    """Raises `ValueError` or `TypeError` for values that no dataset can have."""
    classes = len(manifest.class_ids)
    per_class = (manifest.class_names, manifest.train_per_class, manifest.test_per_class)
    if any(len(each) != classes for each in per_class):
        raise ValueError(f"not every list has its {classes} classes")
    images = sum(manifest.train_per_class)
    for index in (*manifest.val, *manifest.train_sample):
        if type(index) is not int or not 0 <= index < images:
            raise ValueError(f"{index!r:.40} is none of its {images} training images")
    for copies in manifest.copies.values():
        if type(copies["groups"]) is not int or not copies["examples"]:
            raise ValueError("its copies are no counts with examples")
    for reason, left_out in manifest.left_out.items():
        if type(left_out["count"]) is not int or type(left_out["examples"]) is not list:
            raise ValueError(f"its count of {Reason(reason)} is none")
    sizes = manifest.original_sizes
    if sizes and not sizes.keys() == ImageSizes.__annotations__.keys():
        raise ValueError("its original_sizes are none")
    datetime.fromisoformat(manifest.prepared_at or "1970-01-01T00:00:00+00:00")
    if manifest.value_range and manifest.value_range["white"] not in WHITES:
        raise ValueError("its value_range ends at no customary value")
    statistics = (*manifest.mean, *manifest.std)
    if len(statistics) != 6 or not all(0 <= value < 1 for value in statistics):
        raise ValueError("its mean and std are no shares of three channels")


def _check_size(path: Path, size: int, manifest: Manifest) -> None:
    """Raises `DatasetError` if the file at `path` is missing or doesn't have `size` bytes."""
    actual = path.stat().st_size if path.is_file() else None
    if actual != size:
        state = "is missing" if actual is None else f"has {actual}"
        raise DatasetError(
            f"{path} must have {size} bytes, but {state}; make it anew with "
            f"{remake_command(path.parent, overwrite=True, manifest=manifest)}."
        )


def verify(directory: Path, names: Collection[str] | None = None) -> Manifest:
    """Reads the files whole, compares them with the manifest, and returns the manifest.

    Raises `DatasetError` if the sha256 of a file differs from the manifest's.

    names: the names of the files to read; by default all of them are read.
    """
    manifest = read_manifest(directory)
    for name, facts in manifest.files.items():
        if names is not None and name not in names:
            continue
        actual = file_sha256(directory / name)
        if actual != facts["sha256"]:
            raise DatasetError(
                f"{directory / name} must have sha256 {facts['sha256'][:12]}…, but has "
                f"{actual[:12]}…; make it anew with "
                f"{remake_command(directory, overwrite=True, manifest=manifest)}."
            )
    return manifest
