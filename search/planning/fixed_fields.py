"""Finds the fields of the configuration that no trial of a search varies."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from search.config.command_line import fixed_fields
from search.config.options import SearchOptions
from search.space import Space, SpaceError, ask_space
from search.study.searched_ranges import Probe

_DRAWN = 50
"""A space is asked for so many random configurations to find out whether it chooses weights."""


def fix_fields(options: SearchOptions, space: Space) -> dict[str, Any]:
    """Returns the fields that all trials share, by name. Values from `--set` override those of
    other options.

    Without pretrained weights there is nothing worth freezing, so that all stages train. A space
    may choose the weights of each network by itself; then they are fixed by an option only.
    """
    own = choose_weights(options, "") == "" and chooses_weights(space)
    weights = "" if own else choose_weights(options, space.baseline.weights)
    fixed: dict[str, Any] = {
        "epochs": options.epochs or space.baseline.epochs,
        "seed": options.seed,
        "precision": options.precision,
    }
    if weights == "none":
        fixed["freeze_depth"] = 0
    if options.deterministic:
        fixed["deterministic"] = True
    fixed |= fixed_fields(options)
    return fixed | {"weights": _absolute(weights)} if weights else fixed


def chooses_weights(space: Space) -> bool:
    """Returns whether any of `_DRAWN` random configurations of a space has weights of its own. A
    space that fails has none here; its fault is reported elsewhere.
    """
    anything = {"weights": "none"}  # so that it's no matter here which weights they are
    with suppress(SpaceError):
        return any("weights" in ask_space(space, Probe(n), anything) for n in range(_DRAWN))
    return False


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
