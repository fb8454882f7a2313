"""How text reaches the terminal: as it is, never wrapped or coloured by accident."""

from collections.abc import Callable

from rich.console import Console


def plain(console: Console) -> Callable[[str], None]:
    """A function that prints one line as it is, so that commands can be copied from it."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    return say


def last_line(text: str) -> str:
    """The last line with anything in it: of a traceback, what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "without a word"


def short(value: object) -> str:
    """A parameter's value for people: floats with three digits, a dash where it doesn't count."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
