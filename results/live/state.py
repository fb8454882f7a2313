"""Tells from a run's files, without reading them, whether its page would show something new."""

from pathlib import Path

from common.files import is_locked
from results.overview.annotations import ANNOTATIONS
from results.store import BESIDE, BEST, EPOCHS, MANIFEST, TRIALS

SHOWN = (MANIFEST, TRIALS, EPOCHS, *BESIDE, BEST, ANNOTATIONS)
"""A page shows what these files hold, and the records of final trainings."""


def version_of(directory: Path) -> str:
    """Returns a text that changes whenever a file that the run's page shows has changed."""
    paths = [directory / name for name in SHOWN]
    paths += sorted(directory.glob("*/final.json"))
    found = []
    for path in paths:
        try:
            facts = path.stat()
        except OSError:
            continue
        found.append(f"{path.parent.name}/{path.name} {facts.st_size} {facts.st_mtime_ns}")
    return "\n".join([str(is_searched(directory)), *found])


def is_searched(directory: Path) -> bool:
    """Returns whether a process is searching in the run."""
    return is_locked(directory)
