"""The page of a finished search."""

from collections.abc import Callable
from pathlib import Path


def tell_report(directory: Path, say: Callable[[str], None]) -> None:
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
