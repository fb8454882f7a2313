"""YAML that somebody else may have written: plain values, and no more of them than text."""

from typing import Any

import yaml


class _PlainLoader(yaml.SafeLoader):
    """Without aliases: ten lines of them stand for more values than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) aren't read here")
        return super().compose_node(parent, index)


def load_plain(text: str) -> Any:
    """The document in a text. Raises `ValueError`, saying where, for anything that isn't plain."""
    try:
        return _PlainLoader(text).get_single_data()
    # Of values that aren't what they look like, as 2026-13-45, Python's own types tell.
    except (yaml.YAMLError, RecursionError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
