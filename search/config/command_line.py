"""Reads the options of `search.run` from command-line arguments and from files."""

import dataclasses
import math
from argparse import SUPPRESS, _ArgumentGroup
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from common.cli import Parser, unknown_option
from common.plain_yaml import load_plain
from search.config.options import ACTIONS, GROUPS, OptionsError, SearchOptions, flag_of
from search.config.units import number_of
from search.config.validation import find_faults
from trainables.config import TrialConfig

_LISTS = tuple(f.name for f in fields(SearchOptions) if isinstance(f.default, tuple))
"""On the command line each of these options takes one or more values."""


def parser() -> Parser:
    """Builds the parser, with one flag for each field of `SearchOptions` and for each action."""
    made = Parser(
        prog="python -m search.run",
        usage="%(prog)s --space SPACE [OPTION ...]",
        description="Search for the configuration that generalises best.",
        argument_default=SUPPRESS,
    )
    for title in GROUPS:
        group = made.add_argument_group(title)
        for name, action in ACTIONS.items():
            if action.group == title:
                _add(group, name, action.text, action.metavar)
        for f in fields(SearchOptions):
            if f.metadata["group"] == title:
                _add(group, f.name, _help(f), f.metadata["metavar"])
    return made


def _add(group: _ArgumentGroup, name: str, text: str, metavar: str) -> None:
    """Adds an option to a group: a switch where `metavar` is empty, else one that takes a value."""
    flag = "--" + flag_of(name)
    if not metavar:
        group.add_argument(flag, action="store_true", help=text)
    elif name in _LISTS:
        group.add_argument(flag, nargs="+", action="extend", metavar=metavar, help=text)
    else:
        group.add_argument(flag, metavar=metavar, help=text)


def _help(f: "dataclasses.Field[Any]") -> str:
    """Returns an option's help text, with its default where the text doesn't explain it."""
    text = str(f.metadata["help"]).replace("%", "%%")
    explained = "auto" in str(f.default) or (f.default == 0 and "0:" in text)
    shown = f.default not in ("", (), False) and not explained
    return f"{text} (default: {f.default})" if shown else text


def parse(arguments: list[str] | None) -> tuple[dict[str, Any], list[str]]:
    """Returns the values on the command line, by option, and one sentence for each unknown flag."""
    given, errors = parser().parse_known(arguments)
    return vars(given), errors


def resolve(*layers: Mapping[str, Any]) -> tuple[SearchOptions, list[str]]:
    """Merges layers of option values, of which later ones win, and returns the options and one
    sentence for each fault.

    An option with a faulty value gets its default, so that the rules which depend on several
    options can still be checked and all errors are reported at once.
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
    if "set" in faults:  # the well-formed items are used, so that they are checked later
        usable["set"] = tuple(item for item in values["set"] if "=" in item)
    return SearchOptions(**usable), [
        *errors,
        *(text for texts in faults.values() for text in texts),
    ]


def _convert(f: "dataclasses.Field[Any]", value: Any) -> Any:
    """Converts a value to the type of its option. Raises `TypeError` or `ValueError` where the
    value isn't of that type.
    """
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
    """Returns the fields of `TrialConfig` that `--set` fixes, as values of YAML's types for
    scalars.
    """
    known = {f.name: f.type for f in fields(TrialConfig)}
    values: dict[str, Any] = {}
    for item in options.set:
        key, _, text = item.partition("=")
        value = _scalar(text)
        wants_float = known.get(key) in (float, float | None)
        # YAML reads 1e-3 as text, because its floats need a dot.
        number = number_of(str(value), whole=False) if wants_float else math.nan
        values[key] = value if math.isnan(number) else number
    return values


def _scalar(text: str) -> Any:
    """Returns the value that YAML reads in `text`, or `text` itself where it isn't valid YAML."""
    try:
        return load_plain(text) if text else ""
    except ValueError:
        return text


def read_yaml(path: Path) -> dict[str, Any]:
    """Returns the options in a YAML file, with underscores in their names. Raises `OptionsError`
    where the file can't be read or isn't a mapping.
    """
    try:
        value = load_plain(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).replace("\n", " ")
        raise OptionsError([f"--config {path} can't be read: {reason}"]) from error
    if not isinstance(value, dict):
        raise OptionsError([f"--config {path} must hold option: value lines."])
    return {str(key).replace("-", "_"): item for key, item in value.items()}
