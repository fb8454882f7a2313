"""What command lines share: a parser that guesses misspelt options."""

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any


def meant(word: str, known: Iterable[str], otherwise: str) -> str:
    """The word that was probably meant, as a question; `otherwise` where there is none."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else otherwise


class Parser(argparse.ArgumentParser):
    """A command line that says which option was probably meant, and takes none shortened."""

    def __init__(self, prog: str, description: str | None, **more: Any) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False, **more)

    def parse_args(  # type: ignore[override]  # ours are never read into an object of another type
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As argparse's; what it doesn't know ends the program with a sentence for each."""
        given, rest = self.parse_known_args(args, namespace)
        if errors := unknown(self, rest):
            self.exit(2, "".join(f"error: {error}\n" for error in errors))
        return given


def unknown(parser: argparse.ArgumentParser, words: Iterable[str]) -> list[str]:
    """A sentence for each word that a command line doesn't know; the value of such an option has
    none of its own.
    """
    flags = [flag for action in parser._actions for flag in action.option_strings]
    errors: list[str] = []
    for word in words:
        close = get_close_matches(word.partition("=")[0], flags, n=1) if word[0] == "-" else []
        hint = f"did you mean {close[0]}?" if close else "see --help."
        if word[0] == "-" or not errors:
            errors.append(f"{word} is not an option; {hint}")
    return errors
