"""Holds what commands share: a parser that guesses misspelt options, one way to refuse, exit codes,
and the quotes of commands that are printed.
"""

import argparse
import io
import json
import select
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.text import did_you_mean, printable, redacted

REFUSED = 2
"""A command that could not do its work has this exit code."""

INCOMPLETE = 3
"""A command that did its work for a part of what it was given has this exit code."""

INTERRUPTED = 130
"""A search that an error has cut short has this exit code, as after Ctrl-C."""

UNFINISHED = 75
"""A command whose time budget ended before its work has this exit code, which `sysexits.h` calls a
temporary failure: the same command goes on.
"""


def refuse(*errors: BaseException | str) -> int:
    """Prints a line for each error, and for each sentence of a `UserError`; returns the exit code.

    Secrets are redacted, because the output of a terminal is passed on to others, and characters
    that a terminal obeys are escaped, because names in a sentence may hold them.
    """
    for error in errors:
        for sentence in error.errors if isinstance(error, UserError) else [str(error)]:
            shown = "\n".join(map(printable, redacted(sentence).split("\n")))
            print(f"error: {shown}", file=sys.stderr)
    return REFUSED


def run_writer(write: Callable[[], Iterable[Path]]) -> int:
    """Prints the path of each file that `write` made, or a sentence for each fault that a user can
    mend or that the system names. Returns the exit code of the command.
    """
    try:
        paths = write()
    except (UserError, OSError) as error:
        return refuse(error)
    print(*paths, sep="\n")
    return 0


def print_json(value: object) -> None:
    """Prints a value as JSON, with secrets redacted. Raises `ValueError` for a number that JSON
    lacks.
    """
    print(redacted(json.dumps(value, indent=1, allow_nan=False)))


class _Output(io.FileIO):
    """An output that drops what nobody can read: the pipe's reader is gone, the terminal is closed,
    or the file's disk is full.
    """

    def write(self, data: Any) -> int:
        """Writes bytes; returns how many, all of them where they can't be written. Waits for an
        output that another process has made non-blocking.
        """
        try:
            while (written := super().write(data)) is None:
                select.select((), (self,), ())
        except OSError:
            return len(data)
        return written


def make_output_safe() -> None:
    """Makes standard output and standard error write an escape such as `\\u2026` for each
    character that the terminal's encoding lacks, and go on without a reader.

    Without this, one such character, a pipe whose reader is gone, or a closed terminal raises an
    error and ends the command and its work.
    """
    sys.stdout = _make_safe(sys.stdout, sys.__stdout__)
    sys.stderr = _make_safe(sys.stderr, sys.__stderr__)


def _make_safe(output: Any, original: Any) -> Any:
    """Returns a standard stream that drops what can't be written, and `output` itself where that
    was done before or something else is in its place, as in a notebook.
    """
    if not isinstance(output, io.TextIOWrapper):
        return output
    if output is original:
        with suppress(OSError):
            output.flush()
        output = io.TextIOWrapper(
            io.BufferedWriter(_Output(output.fileno(), "wb", closefd=False)),
            encoding=output.encoding,
            line_buffering=output.line_buffering or output.write_through,
        )
    output.reconfigure(errors="backslashreplace")
    return output


def quote(*words: object) -> str:
    """Returns words of a command line as a shell reads them, with quotes where there are blanks."""
    return shlex.join(map(str, words))


def quote_command(program: str, *words: object, data: object = "data") -> str:
    """Returns a command of the project so that it can be pasted into a shell.

    program: the beginning of the command, such as `python -m search.run`.
    data: the folder of the prepared datasets, which the command names if it isn't the usual one.
    """
    return quote(*program.split(), *words, *([] if str(data) == "data" else ["--data", data]))


class Parser(argparse.ArgumentParser):
    """Parses a command line, suggests the closest option for a misspelt one, and accepts no
    abbreviated options.

    Every command parses before it prints, so parsing calls `make_output_safe` first.
    """

    def __init__(self, prog: str, description: str | None, **more: Any) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False, **more)

    def parse_args(  # type: ignore[override]  # no caller passes a namespace of another type
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parses as argparse does; unknown words end the program with a sentence for each."""
        given, errors = self.parse_known(args, namespace)
        if errors:
            sys.exit(refuse(*errors))
        return given

    def parse_known(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Returns the parsed options, and a sentence for each unknown word.

        The value of an unknown option has no sentence of its own.
        """
        make_output_safe()
        given, rest = self.parse_known_args(args, namespace)
        flags = [flag for action in self._actions for flag in action.option_strings]
        errors: list[str] = []
        for word in rest:
            if word[0] == "-" or not errors:
                errors.append(unknown_option(word, flags if word[0] == "-" else ()))
        return given, errors


def unknown_option(word: str, known: Iterable[str]) -> str:
    """Returns a sentence about an unknown option, with the option of `known` that may be meant."""
    hint = did_you_mean(word.partition("=")[0], known, otherwise="see --help.")
    return f"{word} is not an option; {hint}"
