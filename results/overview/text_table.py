"""Prints tables of plain text that fit a terminal, and that a pipe gets whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from common.text import printable

WHOLE = 10_000
"""A line in a pipe has room for so many characters, so that nothing is cut."""


@dataclass(frozen=True, slots=True)
class TextColumn:
    """Holds a column: its heading, its cells, and whether they stand at the `right`, as numbers
    do.
    """

    heading: str
    cells: Sequence[str]
    right: bool = True


def print_table(columns: Sequence[TextColumn], width: int | None = None) -> list[str]:
    """Prints the columns that fit into the terminal's width, from the left, and all of them where
    the output is no terminal. Returns the headings of those that were left out.

    width: the width to fit into, in characters, instead of the terminal's.
    """
    console = Console(highlight=False)
    width = width or (console.width if console.is_terminal else WHOLE)
    console.width = WHOLE
    shown = len(columns)
    while shown > 1 and _width(console, columns[:shown]) > width:
        shown -= 1
    with console.capture() as captured:
        console.print(_table(columns[:shown]))
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n")
    return [column.heading for column in columns[shown:]]


def _width(console: Console, columns: Sequence[TextColumn]) -> int:
    return Measurement.get(console, console.options, _table(columns)).maximum


def _table(columns: Sequence[TextColumn]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        justify: Any = "right" if column.right else "left"
        table.add_column(Text(column.heading), justify=justify, no_wrap=True)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
