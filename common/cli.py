"""Provides the parser that all command lines share, which suggests a correction for each misspelt
option.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from common.errors import UserError
from common.text import did_you_mean

REFUSED = 2
"""The exit code of a command that could not do what it was asked for."""


def refuse(*errors: BaseException | str) -> int:
    """Prints a line for each error, for each sentence of a `UserError`; returns the exit code."""
    for error in errors:
        for sentence in error.errors if isinstance(error, UserError) else [str(error)]:
            print(f"error: {sentence}", file=sys.stderr)
    return REFUSED


class Parser(argparse.ArgumentParser):
    """Parses a command line, suggests the closest option for a misspelt one, and accepts no
    abbreviated options.
    """

    def __init__(self, prog: str, description: str | None, **more: Any) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False, **more)

    def parse_args(  # type: ignore[override]  # no caller passes a namespace of another type
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parses like `argparse`, but reports all unknown words at once: each gets one sentence on
        stderr, and the program ends with exit code 2.
        """
        options, rest = self.parse_known_args(args, namespace)
        if errors := unknown(self, rest):
            self.exit(2, "".join(f"error: {error}\n" for error in errors))
        return options


def unknown(parser: argparse.ArgumentParser, words: Iterable[str]) -> list[str]:
    """Returns one sentence for each of the `words` that the parser doesn't know.

    A word without a leading dash that follows an unknown option is taken for that option's value
    and gets no sentence of its own.
    """
    flags = [flag for action in parser._actions for flag in action.option_strings]
    errors: list[str] = []
    for word in words:
        known = flags if word[0] == "-" else ()
        hint = did_you_mean(word.partition("=")[0], known, otherwise="see --help.")
        if word[0] == "-" or not errors:
            errors.append(f"{word} is not an option; {hint}")
    return errors
