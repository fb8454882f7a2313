"""What command lines share: the option or run that was probably meant, and what to type next."""

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

RUN_FILE = "manifest.json"
"""What makes a folder a run."""


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


def nearest_run(directory: Path) -> str:
    """What to name or type instead of a folder that is no run."""
    if (directory.parent / RUN_FILE).exists():
        return f"did you mean {directory.parent}?"
    places = {directory.parent, Path("runs")}
    runs = {path.parent.name: path.parent for at in places for path in at.glob(f"*/{RUN_FILE}")}
    close = get_close_matches(directory.name, runs, n=1)
    if close:
        return f"did you mean {runs[close[0]]}?"
    if runs:
        newest = max(runs.values(), key=lambda run: (run / RUN_FILE).stat().st_mtime)
        return f"the newest run is {newest}."
    return "`python -m search.run --space demo` makes one."


def resume_command(directory: Path) -> str:
    """The command that goes on with a run."""
    path = directory if directory.name else directory.absolute()
    usual = path.parent.absolute() == Path("runs").absolute()
    return f"python -m search.run --resume {path.name}{'' if usual else f' --out {path.parent}'}"
