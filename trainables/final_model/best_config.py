"""Reads the configuration that a search chose from the YAML file that it was exported to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.cli import quote_command
from common.errors import UserError
from common.files import checksum
from common.ownership import is_signed
from common.plain_yaml import load_plain
from common.regular_files import irregular_kind
from results.records import BEST_VERSION
from results.run_hints import RUN_FILE
from trainables.config import ConfigError, TrialConfig
from trainables.field_values import read_number


class BestError(UserError):
    """This error says that a best.yaml can't be used; its message names file, fault and remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BestConfig:
    """A `BestConfig` holds a chosen configuration and the dataset that it was chosen on.

    config: the configuration.
    dataset: the name of the dataset to train on.
    searched: the name of the dataset that the search chose on.
    class_ids: the ids of that dataset's classes in the order of their labels, or `None` if the file
    doesn't state them.
    fingerprint: the fingerprint of the dataset's content, or `None` if the file doesn't state it.
    image_size: the side in pixels of the dataset's stored images, or `None` if the file doesn't
    state it.
    val: the share of train that `datasets.prepare --val` made val, or `None` for the usual one.
    selection: the rest of the file as it stands, without the class ids: metric, value, how the
    configuration was selected, provenance.
    own: whether this user's search wrote the file, which hasn't changed since.
    """

    config: TrialConfig
    dataset: str
    searched: str
    class_ids: tuple[str, ...] | None
    fingerprint: str | None
    image_size: int | None
    val: float | None
    selection: dict[str, Any]
    own: bool


def read_best(path: Path) -> BestConfig:
    """Reads a best.yaml. Raises `BestError`, and `ConfigError` for a broken configuration."""
    values, export = _read_mapping(path), _export_command(path)
    if not _is_unchanged(values):
        raise BestError(
            f"{path} is not as it was written: export it again with {export}, or remove its lines "
            "sha256 and schema_version if you have changed it on purpose."
        )
    own = is_signed("best.yaml", values, values.pop("mac", None))
    for key, kind in (("config", dict), ("dataset", str)):
        if not isinstance(values.get(key), kind):
            raise BestError(
                f"{path} must have the key {key}, but it is missing or of another kind: export "
                f"it again with {export}."
            )
    fingerprint, size = values.get("dataset_fingerprint"), values.get("dataset_image_size")
    ids, val = values.pop("dataset_class_ids", None), values.get("dataset_val")
    named = isinstance(ids, list) and all(isinstance(each, str) for each in ids)
    try:
        given = {name: read_number(name, value) for name, value in values["config"].items()}
        config = TrialConfig.from_record(given)
    except ConfigError as error:
        raise ConfigError([f"{path}: {sentence}" for sentence in error.errors]) from error
    return BestConfig(
        config=config,
        dataset=values["dataset"],
        searched=values["dataset"],
        class_ids=tuple(ids) if named else None,
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        image_size=size if isinstance(size, int) else None,
        val=val if isinstance(val, float) else None,
        selection={k: v for k, v in values.items() if k not in ("config", "schema_version")},
        own=own,
    )


def _is_unchanged(values: dict[str, Any]) -> bool:
    """Removes the checksum from the values and returns whether it is right; older files have
    none.
    """
    recorded, version = values.pop("sha256", None), values.get("schema_version", 0)
    try:
        return recorded == checksum(values) or (recorded is None and int(version) < BEST_VERSION)
    except (TypeError, ValueError):  # an exported file holds only values that JSON has
        return False


def _export_command(path: Path) -> str:
    """Returns the command that writes the best.yaml at `path`, or in the run `path`."""
    run = path if path.is_dir() else path.parent
    return quote_command("python -m results.export", run if (run / RUN_FILE).exists() else "RUN")


def _read_mapping(path: Path) -> dict[str, Any]:
    """Returns the values of a YAML file.

    Raises `BestError` if the file is missing or no mapping.
    """
    export = _export_command(path)
    if kind := irregular_kind(path):
        raise BestError(
            f"--config must name a file, but {path} is {kind}: name a best.yaml, or write one with "
            f"{export}."
        )
    try:
        values = load_plain(path.read_text(encoding="utf-8"))
    except IsADirectoryError:
        raise BestError(
            f"--config must name a file, but {path} is a folder: name its best.yaml, or write "
            f"that with {export}."
        ) from None
    except FileNotFoundError:
        raise BestError(
            f"--config must name an existing file, but {path} is none: write one with {export}."
        ) from None
    except (OSError, ValueError) as error:
        reason = str(error).replace("\n", " ")
        raise BestError(
            f"--config must name a YAML file, but {path} can't be read as one: "
            f"{reason}; export it again with {export}."
        ) from error
    if not isinstance(values, dict):
        raise BestError(
            f"{path} must be a YAML mapping with config and dataset, but it is something else: "
            f"export it again with {export}."
        )
    return values
