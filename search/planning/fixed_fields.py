"""Finds the fields of the configuration that no trial of a search varies."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.errors import UserError
from search.config.command_line import fixed_fields
from search.config.options import SearchOptions
from search.space import Space, SpaceError, ask_space
from search.study.optuna_patches import quiet_ranges
from search.study.proposer import Proposer
from search.study.searched_ranges import PROBES, Probe


def fix_fields(options: SearchOptions, space: Space) -> dict[str, Any]:
    """Returns the fields that all trials share, by name. Values from `--set` override those of
    other options.

    Without pretrained weights there is nothing worth freezing, so that all stages train. Weights
    that a space returns hold as any field does, in place of the baseline's; then they are fixed by
    an option only.
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
    """Returns whether any of `PROBES` random configurations of a space has weights of its own. A
    space that fails has none here; its fault is reported elsewhere.
    """
    anything = {"weights": "none"}  # so that it's no matter here which weights they are
    with suppress(SpaceError), quiet_ranges():
        return any("weights" in ask_space(space, Probe(n), anything) for n in range(PROBES))
    return False


def find_other_baseline(space: Space) -> list[str]:
    """Returns a sentence for each field in which the first trial isn't the baseline, because the
    space returns another value for it beside the baseline's parameters. What else is wrong with the
    baseline is reported elsewhere.
    """
    options = SearchOptions()
    own = {"epochs": space.baseline.epochs, "seed": options.seed, "precision": options.precision}
    if not _find_differences(space, own):  # the other fields that an option fixes need many draws
        return []
    return [
        f"The baseline must be one of the space's configurations, but has {name}={before}, and "
        f"`suggest` returns {value} beside the baseline's values; change one of them."
        for name, (before, value) in _find_differences(space, fix_fields(options, space)).items()
    ]


def _find_differences(space: Space, fixed: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns (the baseline's value, the first trial's) of each field in which they differ, beside
    the `fixed` ones; none where the space fails.
    """
    with suppress(UserError):
        first = Proposer(space, fixed, 0).nearest(space.baseline.to_dict())[1]
        before = space.baseline.with_defaults().to_dict()
        return {
            name: (before.get(name), value)
            for name, value in first.with_defaults().to_dict().items()
            if before.get(name) != value and name not in fixed
        }
    return {}


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
