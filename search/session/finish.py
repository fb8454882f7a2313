"""A search's end: what is written first, what is printed then, and the exit code."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from common.cli import INTERRUPTED
from results.export import export
from search.monitoring.summary import print_summary, read_result
from search.planning.plan import Plan


def finish(plan: Plan, console: Console, *, interrupted: bool) -> int:
    """Writes the best configuration into the run, then prints the summary of what is on disk.

    Returns the exit code: 0 done, 1 no result, `INTERRUPTED` where Ctrl-C or an error has cut it
    short. A full disk, which keeps the best
    configuration from being written, is told in the summary and is no result.
    """
    result = read_result(plan)
    best = _write_best(plan.directory) if result.leader else None
    print_summary(plan, result, best, console, interrupted=interrupted)
    if interrupted:
        return INTERRUPTED
    return 0 if isinstance(best, Path) else 1


def _write_best(directory: Path) -> Path | OSError:
    """Where the best configuration was written, or why it couldn't be."""
    try:
        return export(directory)
    except OSError as error:
        return error


def write_final_report(directory: Path, say: Callable[[str], None]) -> None:
    """Writes the report and says where; one that can't be written is told, and no more.

    The search is done and on disk by then: nothing that goes wrong here may look otherwise.
    """
    from results.report import write_report

    try:
        say(f"The search as a page: {write_report(directory)}")
    except Exception as error:  # whatever a plotting library may raise
        say(
            f"The report couldn't be written ({type(error).__name__}: {error}); once that is "
            f"mended: python -m results.report {directory}"
        )
