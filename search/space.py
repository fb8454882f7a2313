"""Defines what a space is: what a search may vary, for one network on one dataset."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from common.errors import UserError
from common.files import describe_full_disk
from trainables.config import TrialConfig


class SpaceError(UserError):
    """Reports a space that can't be found or read. The message names the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Holds the accuracies that the baseline's authors reported, as fractions, and a note on their
    source.

    The `val_` fields hold what the authors call validation, whatever split that was, and
    `test_top1` what they call test.
    """

    train_top1: float | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    test_top1: float | None = None
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """Describes what may vary around a published configuration, for one network on one dataset.

    `baseline` is always the study's first trial. `suggest` asks an Optuna trial for parameters that
    are named like fields of `TrialConfig`, and returns them; all other fields stay as in the
    baseline. Every parameter's range must contain the baseline's value. A field that counts only
    beside one value of another (`trainables.conditional_fields`: momentum with SGD) should be
    requested only in trials with that value; in other trials the baseline's value is dropped.
    `published` holds the accuracies that the baseline's authors reported.
    """

    summary: str
    dataset: str
    baseline: TrialConfig
    suggest: Callable[[optuna.Trial], Mapping[str, Any]]
    published: Published | None = None


def suggested(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Returns the parameters that a trial tries, named like fields of `TrialConfig`.

    Floats are rounded to 12 digits, because Optuna's steps give values such as 0.30000000000000004.
    Raises `SpaceError`.
    """
    values = ask_space(space, trial)
    return {k: float(f"{v:.12g}") if isinstance(v, float) else v for k, v in values.items()}


def ask_space(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Returns what a space's `suggest` returns for a trial. Raises `SpaceError` for anything that
    goes wrong in the space's own code.
    """
    try:
        return dict(space.suggest(trial))
    except Exception as error:
        if describe_full_disk(error, Path()):
            raise  # Optuna writes parameters to its journal; a full disk isn't the space's fault
        what = f"{type(error).__name__}: {error}"
        raise SpaceError(
            f"The space's `suggest` must give values for fields of TrialConfig, and its ranges "
            f"must hold the baseline's, but it failed ({what}); mend the space."
        ) from error
