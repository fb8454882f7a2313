"""Reads the options of `search.run` from command-line arguments and from files."""

import dataclasses
from argparse import SUPPRESS, _ArgumentGroup
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from common.cli import Parser, unknown_option
from common.plain_yaml import load_plain
from search.config.options import ACTIONS, GROUPS, OptionsError, SearchOptions, flag_of
from search.config.validation import find_faults
from trainables.field_values import read_text

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
    """Returns the values on the command line, by option, and one sentence for each unknown flag.

    Of an option that is given twice the last value counts, as in most programs, so that an alias or
    a script can be overridden; `--set` adds up.
    """
    parsed, errors = parser().parse_known(arguments)
    return vars(parsed), errors


def resolve(*layers: Mapping[str, Any]) -> tuple[SearchOptions, list[str]]:
    """Merges layers of option values, of which later ones win, and returns the options and one
    sentence for each fault. The option `set` is merged field by field.

    An option with a faulty value gets its default, so that the rules which depend on several
    options can still be checked and all errors are reported at once.
    """
    values, errors = _merge(layers)
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


def _merge(layers: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Returns the values of all layers, of which later ones win, and one sentence for each fault in
    a layer's `set`, such as a field that it names twice.
    """
    values: dict[str, Any] = {}
    fixed: dict[str, str] = {}
    errors: list[str] = []
    for layer in layers:
        values |= layer
        items = layer.get("set", ())
        if isinstance(items, dict):
            items = [f"{key}={value}" for key, value in items.items()]
        elif isinstance(items, str):
            items = [items]
        elif not isinstance(items, list | tuple):
            errors.append(f"--set must be KEY=VALUE, but got {items!r}.")
            continue
        named = [(str(item).partition("=")[0], str(item)) for item in items]
        errors += [
            f"--set must fix a field once, but fixes {key} {count} times."
            for key, count in Counter(key for key, _ in named).items()
            if count > 1
        ]
        fixed |= dict(named)
    return values | {"set": tuple(fixed.values())}, errors


def _convert(f: "dataclasses.Field[Any]", value: Any) -> Any:
    """Converts a value to the type of its option. Raises `TypeError` or `ValueError` where the
    value isn't of that type.
    """
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
    """Returns the fields of `TrialConfig` that `--set` fixes, with values of the fields' types."""
    items = (item.partition("=") for item in options.set)
    return {key: read_text(key, text) for key, _, text in items}


def read_yaml(path: Path) -> dict[str, Any]:
    """Returns the options in a YAML file, with underscores in their names, and with the texts that
    a command line would have. Raises `OptionsError` where the file can't be read or isn't a
    mapping, and for an option that it names twice.
    """
    try:
        value = load_plain(path.read_text(encoding="utf-8"), numbers=False)
    except (OSError, ValueError) as error:
        reason = str(error).replace("\n", " ")
        raise OptionsError(
            [f"--config {path} can't be read ({reason}); check the path, or mend the file."]
        ) from error
    if not isinstance(value, dict):
        raise OptionsError(
            [f"--config {path} must hold lines such as `trials: 8`, but doesn't; mend it."]
        )
    options = {str(key).replace("-", "_"): item for key, item in value.items()}
    if len(options) < len(value):
        twice = next(flag_of(key) for key in options if {key, flag_of(key)} <= value.keys())
        raise OptionsError(
            [
                f"--config {path} must name each option once, but names {twice} with dashes and "
                "without; leave one of them out."
            ]
        )
    return options
