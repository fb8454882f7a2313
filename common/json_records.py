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
def _kinds(cls: type) -> dict[str, tuple[frozenset[type], type[StrEnum] | None]]:
    """Returns, for each field of a record class, the types that JSON may give it, and the
    enumeration that its texts belong to, if any. A field for floats also accepts whole numbers.
    """
    found = {}
    for f in fields(cast(Any, cls)):
        kinds = {get_origin(kind) or kind for kind in get_args(f.type) or (f.type,)}
        if (whole := get_origin(f.type)) in (dict, list):
            kinds = {whole}
        kinds |= {int} if float in kinds else set()
        members = next((kind for kind in kinds if issubclass(kind, StrEnum)), None)
        found[f.name] = (frozenset(kinds), members)
    return found


def _read(name: str, value: object, kind: tuple[frozenset[type], type[StrEnum] | None]) -> object:
    """Returns the value of the field `name`, as a member of its enumeration where it has one.
    Raises `ValueError` for a value of another type than `kind`, for NaN and for infinity.
    """
    kinds, members = kind
    if type(value) in kinds and (type(value) is not float or math.isfinite(value)):
        return value
    if members is not None and isinstance(value, str):
        return members(value)
    raise ValueError(f"{name}={value!r:.40} is of another kind")


def to_json(record: Any) -> str:
    """Returns a record as one line of JSON. Raises `ValueError` for NaN and infinity."""
    return json.dumps(asdict(record), allow_nan=False, separators=(",", ":"))
