"""Writes an HTML page that compares several runs: their numbers, their best accuracy over cost, and
their configurations side by side.

python -m results.compare runs/A runs/B … [--to FILE]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common.cli import Parser, run_writer
from common.files import write_text_atomically

COMPARISON = "comparison.html"
"""The page that compares runs has this file name unless `--to` gives another path."""


def write_comparison(directories: Sequence[Path], to: Path | None = None) -> Path:
    """Writes the page that compares the runs in `directories` and returns its path.

    to: the file to write (default: `comparison.html` beside the first run).

    Raises `RunError` and `RecordError` when a run can't be read or has no finished epoch, and
    `OSError` when the page can't be written.
    """
    path = to or directories[0].parent / COMPARISON
    write_text_atomically(path, page(directories))
    return path


def page(directories: Sequence[Path]) -> str:
    """Returns the page's HTML, with the runs in the order of `directories`."""
    # Plotly takes a second to load, and `--help` should not wait for it.
    from results.page import comparison
    from results.page.render import render
    from results.page.run_data import read_run

    runs = [read_run(directory) for directory in directories]
    return render(
        "compare.html",
        sections=[comparison.figures(runs)],
        names=comparison.names(runs),
        headline=comparison.headline(runs),
        cautions=comparison.cautions(runs),
        numbers=comparison.numbers(runs),
        configurations=comparison.configurations(runs),
        origins=comparison.origins(runs),
    )


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.compare`."""
    made = Parser(prog="python -m results.compare", description=__doc__)
    made.add_argument("runs", type=Path, nargs="+", help="run directories, e.g. runs/A runs/B")
    made.add_argument(
        "--to", type=Path, help=f"the file to write (default: {COMPARISON} beside the first run)"
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 after an error.
    """
    options = parser().parse_args(arguments)
    return run_writer(lambda: [write_comparison(options.runs, options.to)])


if __name__ == "__main__":
    sys.exit(main())
