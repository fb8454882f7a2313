"""How text reaches the terminal: as it is, never wrapped or coloured by accident."""

from collections.abc import Callable

from rich.console import Console

from common.text import redacted

SAID_LINES, SAID_LENGTH = 5, 500
"""Lines and characters of an error that `last_lines` gives: CUDA's say in the first what happened
and in three more how to find out where."""


def plain(console: Console) -> Callable[[str], None]:
    """A function that prints one line as it is, so that commands can be copied from it.

    Secrets alone are left out.
    """

    def say(text: str) -> None:
        console.print(redacted(text), highlight=False, markup=False, soft_wrap=True)

    return say


def last_lines(text: str) -> str:
    """The lines after the last indented one, as one: of a traceback, all that the error says.

    Where they are many, the first of them, which names the error, and the last. Without secrets:
    what an error says is recorded.
    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    indented = [index for index, line in enumerate(lines) if line[0].isspace()]
    said = (lines[indented[-1] + 1 :] if indented else lines) or lines[-1:] or ["without a word"]
    told = said if len(said) <= SAID_LINES else [said[0], "…", *said[1 - SAID_LINES :]]
    whole = redacted(" ".join(line.strip() for line in told))
    return whole if len(whole) <= SAID_LENGTH else whole[: SAID_LENGTH - 1] + "…"


def short(value: object) -> str:
    """A parameter's value for people: floats with three digits, a dash where it doesn't count."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
