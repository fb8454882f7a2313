"""What a search keeps elsewhere when it has a `--storage`: nothing without one."""

from collections.abc import Callable
from pathlib import Path

from search.mirror import Mirror, place_of
from search.plan import Plan
from search.supply import Dropping, Supply


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
    """The checkpoints of trials that have ended leave the storage, and the run's records go there.

    `say` is told what couldn't be kept.
    """

    def __init__(self, supply: Supply, directory: Path, say: Callable[[str], object]) -> None:
        stored = supply.stored
        self._dropping = Dropping(stored) if stored else None
        self._mirror = (
            Mirror(place_of(supply.storage, supply.run), directory, say) if stored else None
        )

    def dropped(self, name: str) -> None:
        """A checkpoint of that name has been removed from the run."""
        if self._dropping:
            self._dropping(name)

    def opened(self) -> None:
        """The run is open: from now on checkpoints are dropped because trials end."""
        if self._dropping:
            self._dropping.opening = False

    def tick(self) -> None:
        """To be called now and then while the search runs, by the thread that records."""
        if self._mirror:
            self._mirror.tick()

    def close(self) -> None:
        """Brings everything to its end, after the last record was written."""
        if self._dropping:
            self._dropping.close()
        if self._mirror:
            self._mirror.close()
