"""Reads YAML files from untrusted sources, and accepts plain values only, without aliases."""

from typing import Any

import yaml


class _PlainLoader(yaml.SafeLoader):
    """Loads YAML safely and rejects aliases, because ten lines of nested aliases can expand to more
    values than fit into memory.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) aren't read here")
        return super().compose_node(parent, index)


def load_plain(text: str) -> Any:
    """Returns the value of the YAML document in `text`. Raises `ValueError` with the position of
    the fault for anything that isn't plain YAML.
    """
    try:
        return _PlainLoader(text).get_single_data()
    # A scalar that only looks like a date, such as 2026-13-45, raises ValueError in the
    # constructor of Python's own type.
    except (yaml.YAMLError, RecursionError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
