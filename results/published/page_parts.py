"""Holds what the commands that make the published pages share: their options, table heads, and the
texts of the benchmarks' figures.
"""

from pathlib import Path
from typing import Any

from common.cli import Parser


def paths_parser(command: str, description: str | None, **paths: Path) -> Parser:
    """Builds the parser of `python -m results.published.{command}`, which has an option for each of
    `paths`, with that default.
    """
    parser = Parser(prog=f"python -m results.published.{command}", description=description)
    for name, default in paths.items():
        metavar = "FILE" if default.suffix else "DIR"
        parser.add_argument(f"--{name}", type=Path, default=default, metavar=metavar)
    return parser


def table_head(row: str) -> str:
    """Returns the first row of a Markdown table and the line below, which has as many columns."""
    return f"{row}\n{'|---' * (row.count('|') - 1)}|"


def commits(report: dict[str, Any]) -> list[str]:
    """Returns the commits that were measured; there are several where a benchmark was continued
    later.
    """
    found = [str(measurement["commit"]) for measurement in report["measurements"]]
    return [_short(commit) for commit in dict.fromkeys(found)]


def _short(commit: str) -> str:
    name, dash, dirty = commit.partition("-")
    return name[:12] + dash + dirty


def goal_text(figure: dict[str, Any]) -> str:
    """Returns the goal of a figure that has one, with its unit."""
    sign = "≤" if figure["goal"]["at_most"] else "≥"
    return f"{sign} {number_text(figure['goal']['limit'])} {figure['unit']}"


def measured(figure: dict[str, Any]) -> str:
    """Returns the cells of a figure's median, spread and number of values."""
    spread = f"{number_text(figure['min'])}…{number_text(figure['max'])}"
    return f"{number_text(figure['median'])} {figure['unit']} | {spread} | {figure['n']}"


def number_text(value: float) -> str:
    """Formats a number with three significant digits, a comma between thousands, and no
    exponent.
    """
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):.6f}".rstrip("0").rstrip(".")
