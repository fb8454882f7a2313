"""Connects a search with TensorBoard, Prometheus and trackers, as its options ask for."""

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
    """Returns the loggers of the trackers in the options. Ray must be running.

    Raises `SearchError` for a tracker that can't be used.
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
    """Returns the observers that the options ask for, and Prometheus's, which needs a running Ray.

    They must come after the observer that updates `progress`. `identity` names the run to trackers
    and stays the same when the run is resumed.
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
