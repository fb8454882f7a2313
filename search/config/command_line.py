"""The command line of `search.run`: options from arguments and from files."""

import dataclasses
import math
from argparse import SUPPRESS
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from common.cli import Parser, unknown_option
from common.plain_yaml import load_plain
from search.config.options import ACTIONS, OptionsError, SearchOptions, flag_of
from search.config.units import number_of
from search.config.validation import find_faults
from trainables.config import TrialConfig

_LISTS = {"set": "KEY=VALUE", "warm_start": "RUN"}
"""Options that take several values, and what one is called in the help."""


def parser() -> Parser:
    """The command line: one flag a field of `SearchOptions`, and the actions."""
    made = Parser(
        prog="python -m search.run",
        description="Search for the configuration that generalises best.",
        argument_default=SUPPRESS,
    )
    made.add_argument("--list", action="store_true", help=ACTIONS["list"])
    made.add_argument("--dry-run", action="store_true", help=ACTIONS["dry_run"])
    made.add_argument("--verbose", action="store_true", help=ACTIONS["verbose"])
    made.add_argument("--quiet", action="store_true", help=ACTIONS["quiet"])
    made.add_argument("--config", metavar="FILE", help=ACTIONS["config"])
    made.add_argument("--resume", metavar="NAME", help=ACTIONS["resume"])
    for f in fields(SearchOptions):
        flag, text = "--" + f.name.replace("_", "-"), _help(f)
        if f.name in _LISTS:
            metavar = _LISTS[f.name]
            made.add_argument(flag, nargs="+", action="extend", metavar=metavar, help=text)
        elif f.type is bool:
            made.add_argument(flag, action="store_true", help=text)
        else:
            made.add_argument(flag, metavar=_metavar(f), help=text)
    return made


def _help(f: "dataclasses.Field[Any]") -> str:
    text = str(f.metadata["help"]).replace("%", "%%")
    told = "auto" in str(f.default) or (f.default == 0 and "0:" in text)
    shown = f.default not in ("", (), False) and not told
    return f"{text} (default: {f.default})" if shown else text


def _metavar(f: "dataclasses.Field[Any]") -> str:
    return "N" if f.type is int else "X" if f.type is float else f.name.upper()


def parse(arguments: list[str] | None) -> tuple[dict[str, Any], list[str]]:
    """What the command line gives, by option, and a sentence for each unknown flag."""
    given, errors = parser().parse_known(arguments)
    return vars(given), errors


def resolve(*layers: Mapping[str, Any]) -> tuple[SearchOptions, list[str]]:
    """Options from layers of values, later ones winning, and a sentence for each fault.

    Where a value is faulty the option has its default, so that what depends on the others can
    be checked too and every error is reported at once.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        values |= layer
    errors: list[str] = []
    known = {f.name: f for f in fields(SearchOptions)}
    for key in [key for key in values if key not in known]:
        errors.append(unknown_option(key, known))
        del values[key]
    for key, value in list(values.items()):
        try:
            values[key] = _convert(known[key], value)
        except (TypeError, ValueError):
            wanted = {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(
                getattr(known[key].type, "__name__", ""), "text"
            )
            errors.append(f"--{flag_of(key)} must be {wanted}, but got {value!r}.")
            del values[key]
    faults = find_faults(SearchOptions(**values))
    usable = {key: value for key, value in values.items() if key not in faults}
    if "set" in faults:  # what is well formed there is checked all the same
        usable["set"] = tuple(item for item in values["set"] if "=" in item)
    return SearchOptions(**usable), [
        *errors,
        *(text for texts in faults.values() for text in texts),
    ]


def _convert(f: "dataclasses.Field[Any]", value: Any) -> Any:
    if f.name == "set":
        value = [f"{k}={v}" for k, v in value.items()] if isinstance(value, dict) else value
    if f.name in _LISTS and isinstance(value, list | tuple):
        return tuple(map(str, value))
    truth = isinstance(value, bool)
    if value is None or truth != (f.type is bool) or isinstance(value, list | dict):
        raise TypeError
    if f.name in _LISTS:
        return (str(value),)
    if f.type is int:
        return int(str(value))
    if f.type is bool:
        return value
    return float(value) if f.type is float else str(value)


def fixed_fields(options: SearchOptions) -> dict[str, Any]:
    """The `TrialConfig` fields that `--set` fixes, as typed values (YAML's rules for scalars)."""
    known = {f.name: f.type for f in fields(TrialConfig)}
    values: dict[str, Any] = {}
    for item in options.set:
        key, _, text = item.partition("=")
        value = _scalar(text)
        wants_float = known.get(key) in (float, float | None)
        # YAML reads 1e-3 as text: its floats need a dot.
        number = number_of(str(value), whole=False) if wants_float else math.nan
        values[key] = value if math.isnan(number) else number
    return values


def _scalar(text: str) -> Any:
    """A value by YAML's rules; the text itself where it isn't YAML."""
    try:
        return load_plain(text) if text else ""
    except ValueError:
        return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The options in a YAML file. Raises `OptionsError` when it can't be read."""
    try:
        value = load_plain(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = str(error).replace("\n", " ")
        raise OptionsError([f"--config {path} can't be read: {said}"]) from error
    if not isinstance(value, dict):
        raise OptionsError([f"--config {path} must hold option: value lines."])
    return {str(key).replace("-", "_"): item for key, item in value.items()}
