"""Holds what the commands that make the published pages share: their options and table heads."""

from pathlib import Path

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
