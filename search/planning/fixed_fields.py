"""Finds the fields of the configuration that no trial of a search varies."""

from pathlib import Path
from typing import Any

from search.config.command_line import fixed_fields
from search.config.options import SearchOptions
from search.space import Space


def fix_fields(options: SearchOptions, space: Space) -> dict[str, Any]:
    """Returns the fields that all trials share, by name. Values from `--set` override those of
    other options.

    Without pretrained weights there is nothing worth freezing, so that all stages train.
    """
    weights = choose_weights(options, space.baseline.weights)
    fixed: dict[str, Any] = {
        "epochs": options.epochs or space.baseline.epochs,
        "seed": options.seed,
        "precision": options.precision,
        "weights": weights,
    }
    if weights == "none":
        fixed["freeze_depth"] = 0
    if options.deterministic:
        fixed["deterministic"] = True
    return fixed | fixed_fields(options) | {"weights": _absolute(weights)}


def choose_weights(options: SearchOptions, default: str) -> str:
    """Returns the weights that training starts from: those in `--set weights=`, else those in
    `--weights`, else `default`.
    """
    return str(fixed_fields(options).get("weights", options.weights or default))


def _absolute(weights: str) -> str:
    """Returns the absolute path of a weights file, because workers have another working directory;
    `none` and `imagenet` stay as they are.
    """
    return weights if weights in ("none", "imagenet") else str(Path(weights).expanduser().resolve())
