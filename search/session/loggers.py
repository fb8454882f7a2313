"""Who hears of trainings while a search runs, beside its terminal: as the options ask for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from search.config.options import SearchOptions
from search.monitoring.monitor import TrialLogger
from search.monitoring.progress import Progress

if TYPE_CHECKING:
    from search.ray_backend.trackers import Logger


def connect_trackers(options: SearchOptions, search: str, directory: Path) -> "list[Logger]":
    """What trials are logged to elsewhere. Ray must be running.

    Raises `SearchError` for what can't be used.
    """
    if not (options.mlflow or options.wandb):
        return []
    from search.ray_backend.trackers import open_loggers

    return open_loggers(options.mlflow, options.wandb, search, directory)


def make_loggers(
    options: SearchOptions,
    loggers: "list[Logger]",
    progress: Progress,
    identity: str,
    directory: Path,
    warn: Callable[[str], object],
) -> list[TrialLogger]:
    """All that were asked for, started. identity: of the run, the same when it goes on."""
    found: list[TrialLogger] = []
    if options.tensorboard:
        from search.monitoring.tensorboard import TensorBoard

        board = TensorBoard(directory, progress, warn)
        board.start()
        found.append(board)
    if loggers:
        from search.ray_backend.trackers import Tracker

        name = progress.limits.title
        for each in loggers:
            tracker = Tracker(each, name, identity, directory, warn)
            tracker.start()
            found.append(tracker)
    return found
