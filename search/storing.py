"""What a search keeps elsewhere when it has a `--storage`: nothing without one."""

from collections.abc import Callable
from pathlib import Path

from search.planning.plan import Plan
from search.ray_backend.node_files import Supply
from search.session.backup import Mirror, place_of


def supply_of(plan: Plan, fingerprint: str) -> Supply:
    """Where trainings get the dataset of that fingerprint and keep checkpoints.

    Raises `DatasetError` and `OSError` where the place that was named lacks these images.
    """
    supply = Supply(
        home=plan.cluster.home if plan.cluster else "",
        run=plan.name,
        dataset=plan.dataset,
        fingerprint=fingerprint,
        data_uri=plan.options.data_uri,
        storage=plan.options.storage,
    )
    supply.check()
    return supply


class Storing:
    """The run's records go to the storage, and the checkpoints of trials that have ended leave it.

    `say` is told what couldn't be kept. Raises `OSError` where the storage can't be reached.
    """

    def __init__(self, supply: Supply, directory: Path, say: Callable[[str], object]) -> None:
        self._mirror: Mirror | None = None
        self._opening: set[str] | None = set()
        if stored := supply.stored:
            place = place_of(supply.storage, supply.run)
            self._mirror = Mirror(place, directory, say, stored.drop)
            self._opening = stored.names()

    def dropped(self, name: str) -> None:
        """A checkpoint of that name has been removed from the run.

        While a run is opened, that is told of every trial that has ended: then only what is there
        is asked for.
        """
        if self._mirror and (self._opening is None or name in self._opening):
            self._mirror.ended(name)

    def opened(self) -> None:
        """The run is open: from now on checkpoints are dropped because trials end."""
        self._opening = None

    def tick(self) -> None:
        """To be called now and then while the search runs, by the thread that records."""
        if self._mirror:
            self._mirror.tick()

    def close(self) -> None:
        """Brings everything to its end, after the last record was written."""
        if self._mirror:
            self._mirror.close()
