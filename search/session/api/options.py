"""Takes the options of the command line as Python values, and words their faults for Python."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

from common.errors import UserError
from search.config.command_line import read_yaml, resolve
from search.config.options import ACTIONS, OptionsError, SearchOptions, flag_of
from search.planning.continuation import more_trials

Error = TypeVar("Error", bound=UserError)

SHOWS = ("table", "lines", None)
"""A search shows one of these: a table, lines, or nothing."""

_FLAGS = {flag_of(name): name for name in [*(f.name for f in fields(SearchOptions)), *ACTIONS]}
_COMMAS = ("objectives",)
"""A list given for one of these options becomes a text with commas."""


def option_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options as a command line gives them: paths as texts, lists with commas where the
    option has them, and none of those that are `None`.
    """
    return {name: _plain(name, value) for name, value in given.items() if value is not None}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, PathLike):
        return fspath(value)
    if name == "set" and isinstance(value, Mapping):
        return {key: _field_text(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        texts = [fspath(each) if isinstance(each, PathLike) else each for each in value]
        return ",".join(map(str, texts)) if name in _COMMAS else texts
    return value


def _field_text(value: Any) -> str:
    """Returns a field's value as `set` spells it, which is YAML's way for truth and for nothing."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_options(given: Mapping[str, Any], config: str, run: str, show: object) -> None:
    """Raises `OptionsError` with a sentence for each option that is unknown or wrong by itself.

    config: the path of a YAML file with further options; empty for none.
    run: the run that goes on, whose own options are read later; empty for a new one.
    """
    faults = list(_find_faults(given, config, run))
    if show not in SHOWS:
        faults.append(f"show must be 'table', 'lines' or None, but got {show!r}.")
    if faults:
        raise say_in_python(OptionsError(faults))


def _find_faults(given: Mapping[str, Any], config: str, run: str) -> Iterator[str]:
    layers: list[dict[str, Any]] = [{"space": "of the run"}] if run else []
    try:
        layers += [read_yaml(Path(config))] if config else []
    except UserError as error:
        yield from error.errors
    layers.append(dict(given))
    yield from more_trials(layers, {} if run else None)
    yield from resolve(*layers)[1]


def say_in_python(error: Error) -> Error:
    """Returns the error with options named as Python has them, `time_budget` for `--time-budget`.
    Commands that it quotes stay as they are.
    """
    found = type(error)([_in_python(sentence) for sentence in error.errors])
    return found.with_traceback(error.__traceback__)


def _in_python(sentence: str) -> str:
    parts = sentence.split("`")
    for index in range(0, len(parts), 2):
        found = re.sub(r"--([a-z][a-z-]*)", _python_name, parts[index])
        parts[index] = found.replace("see --help", "help(Search) lists them")
    return "`".join(parts)


def _python_name(flag: re.Match[str]) -> str:
    return _FLAGS.get(flag[1], flag[0])
