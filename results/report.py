"""Writes the HTML page of a search, which needs no network connection and opens in any browser.

The page begins with the result. Then it shows how trials learned, what the parameters did, where
the time went, every trial, and the provenance.

python -m results.report runs/NAME [--to FILE]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from common.cli import Parser, run_writer
from common.files import write_text_atomically

REPORT = "report.html"
"""A run's page has this file name in the run directory unless `--to` gives another path."""


def write_report(directory: Path, to: Path | None = None) -> Path:
    """Writes the page of the run in `directory` and returns its path. The page of a running search
    shows its state so far.

    to: the file to write (default: `report.html` in the run).

    Raises `RunError` and `RecordError` when the run can't be read or has no trial, and
    `OSError` when the page can't be written.
    """
    path = to or directory / REPORT
    write_text_atomically(path, page(directory))
    return path


def page(directory: Path) -> str:
    """Returns the HTML of a run's page."""
    # Plotly takes a second to load, and `--help` should not wait for it.
    from results.page.curves import learning
    from results.page.figure import Section
    from results.page.headline import make_headline
    from results.page.parameters import parameters
    from results.page.render import render
    from results.page.run_data import Run, read_run
    from results.page.table import provenance, rung_table, screening_table, searched, table
    from results.page.time_use import time_section
    from results.page.tradeoff import tradeoff

    def sections(run: Run) -> Iterator[Section]:
        if len(run.objectives) > 1:
            yield tradeoff(run)
        if run.recorded:
            yield learning(run)
            yield parameters(run)
            yield time_section(run)

    run = read_run(directory)
    return render(
        "report.html",
        sections=sections(run),
        run=run,
        answer=make_headline(run),
        rungs=rung_table(run),
        screening=screening_table(run),
        searched=searched(run),
        table=table(run),
        provenance=provenance(run.manifest),
    )


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.report`."""
    made = Parser(prog="python -m results.report", description=__doc__)
    made.add_argument("run", type=Path, help="a run directory, e.g. runs/NAME")
    made.add_argument("--to", type=Path, help=f"the file to write (default: {REPORT} in the run)")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 after an error.
    """
    options = parser().parse_args(arguments)
    return run_writer(lambda: [write_report(options.run, options.to)])


if __name__ == "__main__":
    sys.exit(main())
