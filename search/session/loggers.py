"""Who is told of a search while it runs, beside its terminal: as the options ask for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from search.config.options import SearchOptions
from search.monitoring.progress import Progress
from search.monitoring.prometheus import PrometheusExporter
from search.study.observer import Observer

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


def make_observers(
    options: SearchOptions,
    loggers: "list[Logger]",
    progress: Progress,
    identity: str,
    directory: Path,
    warn: Callable[[str], object],
) -> list[Observer]:
    """All that were asked for, and Prometheus, through Ray, which must be running.

    They are to be told after the one that keeps `progress`. identity: of the run, the same when it
    goes on.
    """
    from search.ray_backend.callbacks import make_gauge

    found: list[Observer] = [PrometheusExporter(progress, make_gauge)]
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
