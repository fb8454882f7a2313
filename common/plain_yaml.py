"""Reads YAML files from untrusted sources, and accepts plain values only, without aliases."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_OCTAL = re.compile(r"[-+]?0[\d_]+")


class _PlainLoader(yaml.SafeLoader):
    """Loads YAML safely. Rejects aliases, because ten lines of nested aliases can expand to more
    values than fit into memory, and a key that occurs twice in a mapping.

    YAML 1.1 reads 0100 as an octal and 1:04 as a sexagesimal number, which are 64 both. This loader
    reads them as texts.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) aren't read here")
        return super().compose_node(parent, index)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if tag in (f"{_TAG}int", f"{_TAG}float") and ":" in value:
            return self.DEFAULT_SCALAR_TAG
        return self.DEFAULT_SCALAR_TAG if tag == f"{_TAG}int" and _OCTAL.fullmatch(value) else tag

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        made: dict[Hashable, Any] = super().construct_mapping(node, deep)
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} occurs twice", key_node.start_mark
                )
            seen.add(key)
        return made


class _TextLoader(_PlainLoader):
    """Loads YAML with each scalar as its text, apart from truth values and null."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        tag = super().resolve(kind, value, implicit)
        typed = kind is not yaml.ScalarNode or tag in (f"{_TAG}bool", f"{_TAG}null")
        return tag if typed else self.DEFAULT_SCALAR_TAG


def load_plain(text: str, *, numbers: bool = True) -> Any:
    """Returns the value of the YAML document in `text`. Raises `ValueError` with the position of
    the fault for anything that isn't plain YAML, and for a key that occurs twice in a mapping.

    numbers: whether numbers and dates are read as such. Otherwise each is the text that stands in
    the document, so that `007` can be a name.
    """
    try:
        return (_PlainLoader if numbers else _TextLoader)(text).get_single_data()
    # A scalar that only looks like a date, such as 2026-13-45, raises ValueError in the
    # constructor of Python's own type.
    except (yaml.YAMLError, RecursionError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
