"""Defines what a space is: what a search may vary, for one network on one dataset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import optuna

from common.errors import UserError
from common.files import describe_full_disk
from results.analysis.searched_ranges import Prior as Prior
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
    `published` holds the accuracies that the baseline's authors reported. `prior` has the author's
    beliefs on where good values lie, for any of the parameters by name.
    """

    summary: str
    dataset: str
    baseline: TrialConfig
    suggest: Callable[[optuna.Trial], Mapping[str, Any]]
    published: Published | None = None
    prior: Mapping[str, Prior] = field(default_factory=dict)


class Suggesting(Protocol):
    """Suggests values for the parameters that a space asks for, as Optuna's trials do."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int: ...

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...


def suggested(space: Space, trial: Suggesting, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters that a trial tries, named like fields of `TrialConfig`, with the
    values in `fixed` where it has some.

    Floats are rounded to 12 digits, because Optuna's steps give values such as 0.30000000000000004.
    Raises `SpaceError`.
    """
    values = ask_space(space, trial, fixed)
    return {k: float(f"{v:.12g}") if isinstance(v, float) else v for k, v in values.items()}


def ask_space(space: Space, trial: Suggesting, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a space's `suggest` returns for a trial, in which `fixed` parameters have their
    values. Raises `SpaceError` for anything that goes wrong in the space's own code.
    """
    try:
        return dict(space.suggest(_FixingTrial(trial, fixed)))  # type: ignore[arg-type]
    except Exception as error:
        if describe_full_disk(error, Path()):
            raise  # Optuna writes parameters to its journal; a full disk isn't the space's fault
        what = f"{type(error).__name__}: {error}"
        raise SpaceError(
            f"The space's `suggest` must give values for fields of TrialConfig, and its ranges "
            f"must hold the baseline's, but it failed ({what}); mend the space."
        ) from error


class _FixingTrial:
    """Wraps a trial, and suggests the fixed parameters itself.

    The three methods that spaces call are written out, because a decision of the sampler asks for
    thousands of parameters.
    """

    def __init__(self, trial: Suggesting, fixed: Mapping[str, Any]) -> None:
        self._trial, self._fixed = trial, fixed

    def suggest_categorical(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if name in self._fixed:
            return self._fixed[name]
        return self._trial.suggest_categorical(name, *args, **kwargs)

    def suggest_int(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if name in self._fixed:
            return self._fixed[name]
        return self._trial.suggest_int(name, *args, **kwargs)

    def suggest_float(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if name in self._fixed:
            return self._fixed[name]
        return self._trial.suggest_float(name, *args, **kwargs)

    def __getattr__(self, attribute: str) -> Any:
        method = getattr(self._trial, attribute)
        if not attribute.startswith("suggest_"):
            return method

        def suggest(name: str, *args: Any, **kwargs: Any) -> Any:
            return self._fixed[name] if name in self._fixed else method(name, *args, **kwargs)

        return suggest
