"""Writes the HTML page of a search, which needs no network connection and opens in any browser.

The page begins with the result. Then it shows how trials learned, what the parameters did, where
the time went, every trial, and the provenance.

python -m results.report runs/NAME [--to FILE]
python -m results.report runs/NAME --serve [--port N] [--host HOST]

With `--serve` the page is sent by a server of this machine until Ctrl-C: it shows a running search
as it goes on, and each trial on a page of its own.
"""

import argparse
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from common.cli import Parser, refuse, run_writer
from common.errors import UserError
from common.files import write_text_atomically
from results.store import read_manifest

REPORT = "report.html"
"""A run's page has this file name in the run directory unless `--to` gives another path."""

LOCALHOST = "127.0.0.1"


def write_report(directory: Path, to: Path | None = None) -> Path:
    """Writes the page of the run in `directory` and returns its path. The page of a running search
    shows its state so far.

    to: the file to write (default: `report.html` in the run).

    Raises `RunError` and `RecordError` when the run can't be read or has no trial, and
    `OSError` when the page can't be written.
    """
    path = to or directory / REPORT
    # Plotly takes a second to load, and `--help` should not wait for it.
    from results.page.report_page import page

    write_text_atomically(path, page(directory))
    return path


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.report`."""
    made = Parser(prog="python -m results.report", description=__doc__)
    made.add_argument("run", type=Path, help="a run directory, e.g. runs/NAME")
    made.add_argument("--to", type=Path, help=f"the file to write (default: {REPORT} in the run)")
    made.add_argument("--serve", action="store_true", help="serve the page instead of writing it")
    made.add_argument(
        "--port", type=int, metavar="N", help="port of the server (default: a free one)"
    )
    made.add_argument(
        "--host", metavar="HOST",
        help="address that the server listens on, with a token if others can reach it (default: "
        f"{LOCALHOST})",
    )  # fmt: skip
    return made


def _serve(options: argparse.Namespace) -> int:
    """Serves the page until Ctrl-C, and returns the exit code."""
    from results.live.serve import is_loopback, listen, serve, url_of

    try:
        read_manifest(options.run)
        listening = listen(options.host or LOCALHOST, options.port or 0)
    except UserError as error:
        return refuse(error)
    token = None if is_loopback(listening) else secrets.token_urlsafe()
    print(f"{url_of(listening, token)}  (Ctrl-C ends it)", flush=True)
    with suppress(KeyboardInterrupt):
        serve(options.run, listening, token)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 after an error.
    """
    options = parser().parse_args(arguments)
    if options.serve:
        return _serve(options)
    if options.port is not None or options.host is not None:
        return refuse("--port and --host go with --serve; add it, or leave them out.")
    return run_writer(lambda: [write_report(options.run, options.to)])


if __name__ == "__main__":
    sys.exit(main())
