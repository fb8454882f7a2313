"""What commands share: a parser that guesses misspelt options, one way to refuse, exit codes."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.text import did_you_mean, redacted

REFUSED = 2
"""The exit code of a command that could not do what it was asked for."""

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C has ended, as a shell gives it."""


def refuse(*errors: BaseException | str) -> int:
    """Prints a line for each error, for each sentence of a `UserError`; returns the exit code.

    Secrets are left out: what a terminal shows is handed on to others too.
    """
    for error in errors:
        for sentence in error.errors if isinstance(error, UserError) else [str(error)]:
            print(f"error: {redacted(sentence)}", file=sys.stderr)
    return REFUSED


def run_writer(write: Callable[[], Iterable[Path]]) -> int:
    """Prints the path of each file that `write` made, or why there are none: a sentence for each
    fault that a user can mend, or that the system names. Returns the exit code of the command.
    """
    try:
        paths = write()
    except (UserError, OSError) as error:
        return refuse(error)
    print(*paths, sep="\n")
    return 0


class Parser(argparse.ArgumentParser):
    """Parses a command line, suggests the closest option for a misspelt one, and accepts no
    abbreviated options.
    """

    def __init__(self, prog: str, description: str | None, **more: Any) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False, **more)

    def parse_args(  # type: ignore[override]  # no caller passes a namespace of another type
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As argparse's; what it doesn't know ends the program with a sentence for each."""
        given, errors = self.parse_known(args, namespace)
        if errors:
            sys.exit(refuse(*errors))
        return given

    def parse_known(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """What is known, and a sentence for each word that isn't.

        The value of an option that isn't known has no sentence of its own.
        """
        given, rest = self.parse_known_args(args, namespace)
        flags = [flag for action in self._actions for flag in action.option_strings]
        errors: list[str] = []
        for word in rest:
            if word[0] == "-" or not errors:
                errors.append(unknown_option(word, flags if word[0] == "-" else ()))
        return given, errors


def unknown_option(word: str, known: Iterable[str]) -> str:
    """The sentence for an option that isn't there, with the one of `known` that may be meant."""
    hint = did_you_mean(word.partition("=")[0], known, otherwise="see --help.")
    return f"{word} is not an option; {hint}"
