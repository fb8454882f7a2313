"""What is known about prepared data: `manifest.json`, written last, so that it vouches for all."""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from common.files import read_json, sync_folder
from datasets.spec import DatasetError

SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"
SEAL = "sha256"
"""The key of the checksum of all other keys; manifests of older versions have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """One prepared dataset.

    fingerprint: sha256 over class ids, labels, pixels and split; the same for the same content,
    whatever the path, the machine or the number of workers.
    train_per_class, test_per_class: images of each class in the official splits, val included
    in train. mean, std: per channel, pixel / 255, over train without val.
    val, train_sample: sorted indices into the train file (see `SearchData`).
    files: name -> bytes and sha256. skipped: path and reason of each image left out.
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
    schema_version: int = SCHEMA_VERSION

    @property
    def train_images(self) -> int:
        """Images in train, without val."""
        return sum(self.train_per_class) - len(self.val)

    @property
    def val_images(self) -> int:
        """Images in val."""
        return len(self.val)

    @property
    def test_images(self) -> int:
        """Images in test."""
        return sum(self.test_per_class)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Reads a manifest back. Raises `TypeError` for missing or unknown keys."""
        tuples = {f.name for f in fields(cls) if str(f.type).startswith("tuple")}
        values: dict[str, Any] = {k: tuple(v) if k in tuples else v for k, v in value.items()}
        return cls(**values)


def stage_manifest(manifest: Manifest, directory: Path) -> Path:
    """Writes the manifest beside `manifest.json`, whose place it is to take."""
    partial = directory / f".{FILE_NAME}.partial"
    value = asdict(manifest)
    value[SEAL] = _checksum(value)
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, allow_nan=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return partial


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Writes `manifest.json`, whole or not at all."""
    stage_manifest(manifest, directory).replace(directory / FILE_NAME)
    sync_folder(directory)


def _checksum(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def remake(directory: Path) -> str:
    """The command that makes this folder's data again."""
    where = "" if directory.parent == Path("data") else f" --data {directory.parent}"
    return f"`python -m datasets.prepare {directory.name}{where} --overwrite`"


def read_manifest(directory: Path) -> Manifest:
    """The manifest in `directory`, its files' sizes checked.

    Raises `DatasetError` when it is missing, damaged or of another version, and when a file is
    missing or has another size: mapping a file that was cut short would kill the process.
    """
    manifest = parse_manifest(directory / FILE_NAME)
    for name, facts in manifest.files.items():
        _check_size(directory / name, facts["bytes"])
    return manifest


def parse_manifest(path: Path) -> Manifest:
    """The manifest at `path`, wherever its files are. Raises `DatasetError` as `read_manifest`."""
    directory = path.parent
    try:
        value = read_json(path)
        version = value["schema_version"]
        if version != SCHEMA_VERSION:
            raise DatasetError(
                f"{path} must have schema_version {SCHEMA_VERSION}, but has {version}; "
                f"make the data anew with {remake(directory)}."
            )
        if value.pop(SEAL, None) not in (None, _checksum(value)):
            raise ValueError("its checksum is wrong")
        manifest = Manifest.from_json(value)
        _check_values(manifest)
        if not all({"bytes", "sha256"} <= facts.keys() for facts in manifest.files.values()):
            raise KeyError("files")
    except FileNotFoundError as error:
        command = remake(directory).replace(" --overwrite", "")
        raise DatasetError(
            f"{directory} holds no prepared data ({FILE_NAME} is missing); make it with {command}."
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{path} is damaged ({error}); make the data anew with {remake(directory)}."
        ) from error
    return manifest


def _check_values(manifest: Manifest) -> None:
    """Raises `ValueError` or `TypeError` for numbers that belong to no dataset."""
    classes = len(manifest.class_ids)
    per_class = (manifest.class_names, manifest.train_per_class, manifest.test_per_class)
    if any(len(each) != classes for each in per_class):
        raise ValueError(f"not every list has its {classes} classes")
    images = sum(manifest.train_per_class)
    for index in (*manifest.val, *manifest.train_sample):
        if type(index) is not int or not 0 <= index < images:
            raise ValueError(f"{index!r:.40} is none of its {images} training images")
    statistics = (*manifest.mean, *manifest.std)
    if len(statistics) != 6 or not all(0 <= value < 1 for value in statistics):
        raise ValueError("its mean and std are no shares of three channels")


def _check_size(path: Path, size: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        state = "is missing" if found is None else f"has {found}"
        raise DatasetError(
            f"{path} must have {size} bytes, but {state}; make it anew with {remake(path.parent)}."
        )


def verify(directory: Path, names: Collection[str] | None = None) -> Manifest:
    """Reads every file whole, or those of `names`. Raises `DatasetError` when one differs from the
    manifest.
    """
    manifest = read_manifest(directory)
    for name, facts in manifest.files.items():
        if names is not None and name not in names:
            continue
        with (directory / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != facts["sha256"]:
            raise DatasetError(
                f"{directory / name} must have sha256 {facts['sha256'][:12]}…, but has "
                f"{found[:12]}…; make it anew with {remake(directory)}."
            )
    return manifest
