"""A finished search as one HTML page that opens anywhere, offline.

The answer first; then how trials learned, what the parameters did, where the time went, every
trial, and where it all comes from.

python -m results.report runs/NAME [--to FILE]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from common.cli import Parser, run_writer
from common.files import write_text_atomically

REPORT = "report.html"


def write_report(directory: Path, to: Path | None = None) -> Path:
    """Writes a run's page into the run (or to `to`) and returns its path.

    A run that is being written is told as far as it has come. Raises `RunError` and
    `RecordError` when it can't be read or has no finished epoch, `OSError` when the page can't be
    written.
    """
    path = to or directory / REPORT
    write_text_atomically(path, page(directory))
    return path


def page(directory: Path) -> str:
    """The page's HTML."""
    # Plotly takes a second to load that `--help` needn't wait for.
    from results.page.curves import learning
    from results.page.figure import Section
    from results.page.headline import make_headline
    from results.page.parameters import parameters
    from results.page.render import render
    from results.page.run_data import Run, read_run
    from results.page.table import provenance, table
    from results.page.time_use import time_section
    from results.page.tradeoff import tradeoff

    def sections(run: Run) -> Iterator[Section]:
        if len(run.objectives) > 1:
            yield tradeoff(run)
        yield learning(run)
        yield parameters(run)
        yield time_section(run)

    run = read_run(directory)
    return render(
        "report.html",
        sections=sections(run),
        run=run,
        answer=make_headline(run),
        table=table(run),
        provenance=provenance(run.manifest),
    )


def parser() -> Parser:
    """The command line."""
    made = Parser(prog="python -m results.report", description=__doc__)
    made.add_argument("run", type=Path, help="a run directory, e.g. runs/NAME")
    made.add_argument("--to", type=Path, help=f"the file to write (default: {REPORT} in the run)")
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    options = parser().parse_args(arguments)
    return run_writer(lambda: [write_report(options.run, options.to)])


if __name__ == "__main__":
    sys.exit(main())
