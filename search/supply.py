"""What a training needs from elsewhere, and gets, on whichever node it runs.

On the node that the search runs on, the dataset is there and checkpoints go straight into the run.
On another, the dataset is used where the same path holds it, as on a shared disk, and else copied
once; checkpoints are written to the node's own disk and sent on from there.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datasets.copies import check, copied, holds
from datasets.places import Place, UriPlace


@dataclass(frozen=True, kw_only=True, slots=True)
class Supply:
    """Of one search: `Supply()` is that of one which has everything on its only machine.

    home: the id of the search's node, or empty without a cluster. data_uri: holds copies of
    prepared datasets, in folders of their names. storage: holds checkpoints, in folders named like
    their runs. Where these are left empty, both are at home.
    """

    home: str = ""
    run: str = ""
    dataset: str = ""
    fingerprint: str = ""
    data_uri: str = ""
    storage: str = ""

    @property
    def stored(self) -> UriPlace | None:
        """Where checkpoints are kept, if not at home."""
        return UriPlace(self.storage).below(self.run, "checkpoints") if self.storage else None

    def check(self) -> None:
        """Before trials begin: that `data_uri`, where there is one, holds these images.

        Raises `DatasetError` where it doesn't, `OSError` where it can't be reached.
        """
        if self.data_uri:
            place = UriPlace(self.data_uri).below(self.dataset)
            check(place, self.fingerprint, cache() / "checking")

    def lacking(self, data: Path) -> str | None:
        """What a training has to wait for on this node, in words."""
        if not self._away() or holds(data, self.fingerprint) or self._has_copy():
            return None
        return f"waits for {self.dataset}, which this node lacks: gets it from {self._data_place()}"

    def data(self, data: Path) -> Path:
        """The folder with the dataset: `data` itself, or this node's copy, once it is there.

        Raises `DatasetError` and `OSError`.
        """
        if not self._away() or holds(data, self.fingerprint):
            return data
        return copied(self._data_place(), self.fingerprint, self._copy())

    @contextmanager
    def checkpoint(self, path: Path) -> Iterator[tuple[Path, Callable[[Path], object] | None]]:
        """(file to resume from and to write to, what is to be called with what was written).

        A file that is elsewhere is here meanwhile. Raises `OSError`.
        """
        place = self._checkpoint_place()
        if place is None:
            yield path, None
            return
        here = cache() / "checkpoints" / self.run / path.name
        here.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not place.fetch(path.name, here):
                here.unlink(missing_ok=True)  # an older one, of a search that is gone
            yield here, lambda written: place.keep(written, path.name)
        finally:
            here.unlink(missing_ok=True)

    def _away(self) -> bool:
        from search.cluster import node_id

        return bool(self.home) and node_id() != self.home

    def _copy(self) -> Path:
        return cache() / "data" / f"{self.dataset}-{self.fingerprint[:16]}"

    def _has_copy(self) -> bool:
        return holds(self._copy(), self.fingerprint)

    def _data_place(self) -> Place:
        from search.home import DATA, HomePlace

        return UriPlace(self.data_uri).below(self.dataset) if self.data_uri else HomePlace(DATA)

    def _checkpoint_place(self) -> Place | None:
        from search.home import CHECKPOINTS, HomePlace

        return self.stored or (HomePlace(CHECKPOINTS) if self._away() else None)


def cache() -> Path:
    """Where a node keeps copies, which may be deleted whenever no search runs there."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tiny-imagenet-search"


class Dropping:
    """Removes checkpoints from where they are stored, beside the search, by a thread of its own.

    What can't be removed stays. While a run is opened, every trial that has ended is dropped again:
    then only what is there is asked for.
    """

    def __init__(self, place: UriPlace) -> None:
        self._place, self._there = place, place.names()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dropping")
        self.opening = True

    def __call__(self, name: str) -> None:
        """Soon removes the file of that name."""
        if not self.opening or name in self._there:
            self._thread.submit(self._place.drop, name)

    def close(self) -> None:
        """Waits for what was begun."""
        self._thread.shutdown()
