"""What a search may vary: the type of a space, and how one is found by name or path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from common.errors import UserError
from common.files import describe_full_disk
from trainables.config import TrialConfig


class SpaceError(UserError):
    """A space can't be found or read; the message names the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What the baseline's authors reported, as fractions of 1, and where the figures stand.

    `val_` is what they call so, whatever split it was; `test_` what they call test.
    """

    train_top1: float | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    test_top1: float | None = None
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """What may vary around a published configuration, for one network on one dataset.

    `baseline` is the study's first trial, always. `suggest` asks an Optuna trial for
    parameters named like fields of `TrialConfig` and returns them; what it leaves out stays as
    in the baseline. Every parameter's range must hold the baseline's value. Fields that count
    beside one value of another (`trainables.conditional_fields`: momentum with SGD) are to be
    asked for in such trials only; in others the baseline's is dropped.
    """

    summary: str
    dataset: str
    baseline: TrialConfig
    suggest: Callable[[optuna.Trial], Mapping[str, Any]]
    published: Published | None = None


def suggested(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """The parameters that a trial tries, named like fields of `TrialConfig`.

    Floats are rounded to 12 digits: Optuna's steps give 0.30000000000000004. Raises `SpaceError`
    for whatever goes wrong in the space's own code.
    """
    try:
        values = dict(space.suggest(trial))
    except Exception as error:
        if describe_full_disk(error, Path()):
            raise  # Optuna notes each parameter in its journal: a full disk is no space's fault
        what = f"{type(error).__name__}: {error}"
        raise SpaceError(
            f"The space's `suggest` must give values for fields of TrialConfig, and its ranges "
            f"must hold the baseline's, but it failed ({what}); mend the space."
        ) from error
    return {k: float(f"{v:.12g}") if isinstance(v, float) else v for k, v in values.items()}
