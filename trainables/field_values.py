"""Reads the values of a configuration's fields from texts, as a command line and YAML hold them."""

from contextlib import suppress
from dataclasses import fields
from typing import Any, get_args

from common.plain_yaml import load_plain
from trainables.config import TrialConfig

_KINDS = {f.name: (get_args(f.type) or (f.type,))[0] for f in fields(TrialConfig)}
"""This table maps each field of `TrialConfig` to its type, without `None`."""


def read_number(field: str, value: Any) -> Any:
    """Returns the number in a text of a number's field; every other value is returned unchanged.

    YAML leaves such texts: it reads `1e-3` as text, because its floats need a dot, and our YAML
    reads `007` as text, which is 7 here.
    """
    kind = _KINDS.get(field)
    if isinstance(value, str) and kind in (int, float):
        with suppress(ValueError):
            return kind(value)
    return value


def read_text(field: str, text: str) -> Any:
    """Returns the value that `text` stands for in a field: a number or a text where the field has
    that type, otherwise the value that YAML reads. Text that is no YAML is returned unchanged.
    """
    number = read_number(field, text)
    if not isinstance(number, str):
        return number
    try:
        value = load_plain(text) if text else ""
    except ValueError:
        value = text
    return text if _KINDS.get(field) is str and not isinstance(value, str) else value
