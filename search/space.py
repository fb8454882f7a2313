"""What a search may vary: the type of a space, and how one is found by name or path."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import optuna

import search.spaces
from results.disk import refusal
from trainables.config import TrialConfig


class SpaceError(Exception):
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


def names() -> list[str]:
    """The spaces that come with the project, sorted."""
    found = (module.name for module in pkgutil.iter_modules(search.spaces.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def find(name: str) -> Space:
    """A space by name, or by the path of a Python file that defines `SPACE`.

    Raises `SpaceError` for an unknown name (with the nearest one) and for a file that fails.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name not in names():
        close = get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names())};"
        raise SpaceError(
            f"--space must be a known name or a .py file, but got {name!r}; {hint} "
            "`python -m search.run --list` shows them all."
        )
    return _space_of(importlib.import_module(f"search.spaces.{name}"), name)


def _from_file(path: Path) -> Space:
    if not path.is_file():
        raise SpaceError(f"--space {path} doesn't exist; give the path of a file, or a name.")
    spec = importlib.util.spec_from_file_location(f"space_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SpaceError(f"--space {path} must be a Python file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SpaceError(
            f"--space {path} can't be read: {type(error).__name__}: {error}"
        ) from error
    return _space_of(module, str(path))


def _space_of(module: Any, name: str) -> Space:
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Space):
        raise SpaceError(f"--space {name} must define SPACE = Space(…); see search/spaces/.")
    return space


def suggested(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """The parameters that a trial tries, named like fields of `TrialConfig`.

    Floats are rounded to 12 digits: Optuna's steps give 0.30000000000000004. Raises `SpaceError`
    for whatever goes wrong in the space's own code.
    """
    try:
        values = dict(space.suggest(trial))
    except Exception as error:
        if refusal(error, Path()):
            raise  # Optuna notes each parameter in its journal: a full disk is no space's fault
        what = f"{type(error).__name__}: {error}"
        raise SpaceError(
            f"The space's `suggest` must give values for fields of TrialConfig, and its ranges "
            f"must hold the baseline's, but it failed ({what}); mend the space."
        ) from error
    return {k: float(f"{v:.12g}") if isinstance(v, float) else v for k, v in values.items()}
