"""Reads and writes frozen dataclasses as JSON objects, and checks the type of every field."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from enum import StrEnum
from functools import cache
from typing import Any, Self, cast, get_args, get_origin

from common.errors import RecordError


class JsonRecord:
    """A base class for dataclasses that are read from JSON objects."""

    __slots__ = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Builds the record from a JSON object and ignores unknown keys. Raises `RecordError` for
        missing keys and for values of a wrong type.
        """
        kinds = _kinds(cast(type, cls))
        try:
            return cls(
                **{key: _read(key, item, kinds[key]) for key, item in value.items() if key in kinds}
            )
        except (TypeError, ValueError) as error:
            raise RecordError(f"{cls.__name__} can't be read: {error}") from error


@cache
def _kinds(cls: type) -> dict[str, tuple[type, ...]]:
    """Returns the types that each field of a record class may have. A field for floats also accepts
    whole numbers.
    """
    found = {}
    for f in fields(cast(Any, cls)):
        kinds = [get_origin(kind) or kind for kind in get_args(f.type) or (f.type,)]
        if get_origin(f.type) is dict:
            kinds = [dict]
        found[f.name] = tuple({*kinds, *((int,) if float in kinds else ())})
    return cast(dict[str, tuple[type, ...]], found)


def _read(name: str, value: Any, kinds: tuple[type, ...]) -> object:
    """Returns the value of the field `name`, as a member of its enumeration where it has one.
    Raises `ValueError` for a value of another type than `kinds`, for NaN and for infinity.
    """
    for kind in kinds:
        if issubclass(kind, StrEnum) and value is not None:
            return kind(value)
    forbidden = (
        bool not in kinds
        if isinstance(value, bool)
        else isinstance(value, float) and not math.isfinite(value)
    )
    if forbidden or not isinstance(value, kinds):
        raise ValueError(f"{name}={value!r:.40} is of another kind")
    return value


def to_json(record: Any) -> str:
    """Returns a record as one line of JSON. Raises `ValueError` for NaN and infinity."""
    return json.dumps(asdict(record), allow_nan=False, separators=(",", ":"))
