"""The configuration that a search chose, read back from the YAML file it was exported to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainables.config import ConfigError, TrialConfig


class BestError(Exception):
    """A best.yaml can't be used; the message names the file, the fault and the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BestConfig:
    """A chosen configuration and the dataset it was chosen on.

    `fingerprint` is that dataset's content, `image_size` the side in pixels that its images are
    stored at; both are `None` where the file doesn't say. `selection` is the rest of the file as
    it stands: metric, value, how it was selected, provenance.
    """

    config: TrialConfig
    dataset: str
    fingerprint: str | None
    image_size: int | None
    selection: dict[str, Any]


def read_best(path: Path) -> BestConfig:
    """Reads a best.yaml. Raises `BestError`, and `ConfigError` for a broken configuration."""
    values = _mapping(path)
    for key, kind in (("config", dict), ("dataset", str)):
        if not isinstance(values.get(key), kind):
            raise BestError(
                f"{path} must have the key {key}, but it is missing or of another kind: export "
                "it again with python -m results.export RUN."
            )
    fingerprint, size = values.get("dataset_fingerprint"), values.get("dataset_image_size")
    try:
        config = TrialConfig.from_record(values["config"])
    except ConfigError as error:
        raise ConfigError([f"{path}: {sentence}" for sentence in error.errors]) from error
    return BestConfig(
        config=config,
        dataset=values["dataset"],
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        image_size=size if isinstance(size, int) else None,
        selection={k: v for k, v in values.items() if k not in ("config", "schema_version")},
    )


def _mapping(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BestError(
            f"--config must name an existing file, but {path} is none: write one with "
            "python -m results.export RUN."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).replace("\n", " ")
        raise BestError(
            f"--config must name a YAML file, but {path} can't be read as one: "
            f"{reason}; export it again."
        ) from error
    if not isinstance(values, dict):
        raise BestError(
            f"{path} must be a YAML mapping with config and dataset, but it is something else: "
            "export it again with python -m results.export RUN."
        )
    return values
