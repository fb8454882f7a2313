"""Sends the words of a command line to a running search, for `search.steer`."""

import sys
from pathlib import Path

from common.cli import Parser, refuse
from common.errors import UserError
from common.signals import code_of, handle_signals
from search.session.steering.mailbox import ask_search
from search.study.steering.commands import BASELINE_WORD, USAGE, SteeringError, read_command

WAIT_S = 60.0
"""A command waits so long for the search's answer, in seconds, unless `--wait` says otherwise."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, 2 where the search, or this command for it, refuses, or 128 + a signal's number.
    """
    namespace = parser().parse_args(arguments)
    try:
        words = [*namespace.words, *([BASELINE_WORD] if namespace.from_baseline else [])]
        read_command(words)  # the search reads it again
        if not 0 < namespace.wait <= 86400:
            raise SteeringError(
                f"--wait must be above 0 and at most 86400, but got {namespace.wait:g}."
            )
        with handle_signals(show=lambda _: None):
            print(*ask_search(namespace.run, words, namespace.wait), sep="\n")
    except (UserError, OSError) as error:
        return refuse(error)
    except KeyboardInterrupt as error:
        print("", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return code_of(error)
    return 0


def parser() -> Parser:
    """Builds the parser of this command."""
    made = Parser(
        prog="python -m search.steer",
        description="Change a search while it runs.",
        usage=f"%(prog)s [--wait SECONDS] [{BASELINE_WORD}] RUN COMMAND ...",
    )
    made.add_argument("run", type=Path, metavar="RUN", help="the run's folder, such as runs/NAME")
    made.add_argument(
        "words", nargs="+", metavar="COMMAND", help="one of: " + "; ".join(USAGE.values())
    )
    made.add_argument(
        BASELINE_WORD,
        action="store_true",
        help="try: fill what isn't named from the baseline instead of the best trial so far",
    )
    made.add_argument(
        "--wait",
        type=float,
        default=WAIT_S,
        metavar="SECONDS",
        help=f"how long to wait for the search's answer (default: {WAIT_S:g})",
    )
    return made
