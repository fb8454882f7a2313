"""Ends a search: writes the best configuration, prints the summary, and finds the exit code."""

from pathlib import Path

from rich.console import Console

from common.cli import INTERRUPTED, quote_command
from common.files import causes_of, describe_full_disk
from common.text import last_lines
from results.export import export
from results.store import RunError
from search.monitoring.console import plain_printer
from search.monitoring.summary import print_summary, read_result
from search.planning.plan import Plan


def finish(plan: Plan, console: Console, *, interrupted: bool) -> int:
    """Writes the best configuration and the report into the run, then prints the summary of what
    is on disk.

    Returns the exit code: 0 after a whole search, 1 without a result, and `INTERRUPTED` where a
    signal or an error has cut the search short. A best configuration that can't be written, for
    example on a full disk, is no result, and the summary contains the reason.
    """
    result = read_result(plan)
    best: Path | OSError | None = None
    report = ""
    if result.winner:
        try:
            best = export(plan.directory)
        except OSError as error:
            best = error
    if result.trials:  # also one that shows how all of them failed, or were cut short
        report = write_final_report(plan.directory)
    print_summary(plan, result, best, console, interrupted=interrupted)
    if report:
        plain_printer(console)(report)
    if interrupted:
        return INTERRUPTED
    return 0 if isinstance(best, Path) else 1


def write_final_report(directory: Path) -> str:
    """Writes the report and returns a sentence with its path, or with the reason why it can't be
    written: the search itself is done and on disk.
    """
    from results.report import write_report

    try:
        return f"The search as a page: {write_report(directory)}"
    except Exception as error:  # whatever a plotting library may raise
        return (
            f"The report couldn't be written ({type(error).__name__}: {error}). Once that is "
            f"fixed: {quote_command('python -m results.report', directory)}"
        )


def why_stopped(error: Exception, directory: Path) -> str:
    """Returns why a search has stopped, of which Ray has made the error."""
    ours = (str(cause) for cause in causes_of(error) if isinstance(cause, RunError))
    return describe_full_disk(error, directory) or next(ours, last_lines(str(error)))
