"""Defines what a space is: what a search may vary, for one network on one dataset."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn, Protocol

import optuna

from common.errors import UserError
from common.files import describe_full_disk
from common.text import did_you_mean
from results.analysis.searched_ranges import Prior as Prior
from results.analysis.searched_ranges import rounded
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
    are named like fields of `TrialConfig`, and returns them, with further fields if they follow
    from these; all other fields stay as in the baseline. Every parameter's range must contain the
    baseline's value. A field that counts only
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

    Floats are `rounded`. Raises `SpaceError`.
    """
    values = ask_space(space, trial, fixed)
    return {name: rounded(value) for name, value in values.items()}


def ask_space(space: Space, trial: Suggesting, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a space's `suggest` returns for a trial, in which `fixed` parameters have their
    values. Raises `SpaceError` for anything that goes wrong in the space's own code.
    """
    try:
        found = space.suggest(SpaceTrial(trial, fixed))  # type: ignore[arg-type]
    except SpaceError:
        raise
    except optuna.TrialPruned as error:
        raise SpaceError(
            f"A space's `suggest` must return values for every trial, but raises TrialPruned"
            f"{_place(error, space)}; ask for a range only beside the choices that it goes with."
        ) from error
    except Exception as error:
        if describe_full_disk(error, Path()):
            raise  # Optuna writes parameters to its journal; a full disk isn't the space's fault
        what = f"{type(error).__name__}: {error}{_place(error, space)}"
        raise SpaceError(
            f"The space's `suggest` must give values for fields of TrialConfig, and its ranges "
            f"must hold the baseline's, but it failed ({what}); mend the space."
        ) from error
    if not isinstance(found, Mapping):
        raise SpaceError(
            "A space's `suggest` must return a dict of fields and their values, but returns "
            f"{found!r}; end it with `return values`."
        )
    weights = found.get("weights", "none")
    if "weights" not in fixed and weights not in ("none", "imagenet"):
        raise SpaceError(
            f"A space must choose between the weights none and imagenet, but returns {weights!r}; "
            "leave it out, and give a file for all trials with --weights."
        )
    return dict(found)


def _place(error: Exception, space: Space) -> str:
    """Returns the line of the space's own file in which an error arose, as far as it is known."""
    file = getattr(getattr(space.suggest, "__code__", None), "co_filename", None)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f", line {lines[-1]} of {Path(file).name}" if file and lines else ""


_FIELDS = {each.name for each in fields(TrialConfig)}

_SAME = "leave it out, because equal values are to give equal configurations in all trials"
_REMEDIES = {
    **dict.fromkeys(("number", "_trial_id", "study", "storage", "datetime_start"), _SAME),
    **dict.fromkeys(("user_attrs", "system_attrs", "relative_params"), _SAME),
    **dict.fromkeys(
        ("set_user_attr", "set_system_attr"),
        "leave it out, because the records of a trial hold its parameters and its configuration",
    ),
    **dict.fromkeys(
        ("report", "should_prune"),
        "leave it out, because the search reports each epoch and stops trials at rungs by itself, "
        "as by --grace and --reduction-factor",
    ),
    "suggest_uniform": "write trial.suggest_float(name, low, high)",
    "suggest_loguniform": "write trial.suggest_float(name, low, high, log=True)",
    "suggest_discrete_uniform": "write trial.suggest_float(name, low, high, step=q)",
}
"""Optuna's trials have these attributes, a space's has none of them, and each text is a remedy."""

_OFFERED = ("suggest_categorical", "suggest_float", "suggest_int", "params", "distributions")


class SpaceTrial:
    """Stands for a trial in a space's `suggest`: it has the methods `suggest_categorical`,
    `suggest_float` and `suggest_int`, with the arguments of Optuna's, and nothing that could make a
    configuration depend on anything but its parameters. Whatever else an Optuna trial has raises
    `SpaceError` with what to do instead.

    The `fixed` parameters have their values already. The three methods are written out, because a
    decision of the sampler asks for thousands of parameters.
    """

    def __init__(self, trial: Suggesting, fixed: Mapping[str, Any]) -> None:
        self._trial, self._fixed = trial, fixed

    def suggest_categorical(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Returns one of the choices for the parameter."""
        if name in self._fixed:
            return self._fixed[name]
        if name not in _FIELDS:
            _refuse_name(name)
        return self._trial.suggest_categorical(name, *args, **kwargs)

    def suggest_int(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Returns a whole number for the parameter."""
        if name in self._fixed:
            return self._fixed[name]
        if name not in _FIELDS:
            _refuse_name(name)
        return self._trial.suggest_int(name, *args, **kwargs)

    def suggest_float(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Returns a number for the parameter."""
        if name in self._fixed:
            return self._fixed[name]
        if name not in _FIELDS:
            _refuse_name(name)
        return self._trial.suggest_float(name, *args, **kwargs)

    @property
    def params(self) -> dict[str, Any]:
        """Returns the values of the parameters so far, fixed ones included."""
        return {**self._fixed, **getattr(self._trial, "params", {})}

    @property
    def distributions(self) -> dict[str, Any]:
        """Returns the ranges of the parameters that were asked for so far."""
        return dict(getattr(self._trial, "distributions", {}))

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # Python asks for such names by itself
            raise AttributeError(attribute)
        hint = did_you_mean(attribute, _OFFERED, f"there are {', '.join(_OFFERED)}.")
        raise SpaceError(
            "A space's `suggest` must only ask for parameters, but uses "
            f"trial.{attribute}; {_REMEDIES[attribute] + '.' if attribute in _REMEDIES else hint}"
        )


def _refuse_name(name: str) -> NoReturn:
    known = "the fields are those of TrialConfig in trainables/config.py."
    raise SpaceError(
        f"A parameter must be named like a field of TrialConfig, but the space asks for {name!r}; "
        f"{did_you_mean(name, _FIELDS, known)}"
    )
