"""Tells from a run's files, without reading them, whether its page would show something new."""

from pathlib import Path

from common.files import is_locked
from results.overview.annotations import ANNOTATIONS
from results.overview.trial_log import log_path
from results.records import TrainingId
from results.store import BESIDE, BEST, EPOCHS, MANIFEST, TRIALS

SHOWN = (MANIFEST, TRIALS, EPOCHS, *BESIDE, BEST, ANNOTATIONS)
"""A page shows what these files hold, and the records of final trainings."""


def version_of(directory: Path, trial: int | None = None) -> str:
    """Returns a text that changes whenever a file has changed that the page of a trial shows, or
    the run's page for `None`.
    """
    paths = [directory / name for name in SHOWN]
    paths += [] if trial is None else [log_path(directory, TrainingId(trial))]
    paths += sorted(directory.glob("*/final.json"))
    found = []
    for path in paths:
        try:
            facts = path.stat()
        except OSError:
            continue
        found.append(f"{path.parent.name}/{path.name} {facts.st_size} {facts.st_mtime_ns}")
    return "\n".join([str(is_locked(directory)), *found])
