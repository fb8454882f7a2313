"""What a training needs from elsewhere, and gets, on whichever node it runs.

On the node that the search runs on, the dataset is there and checkpoints go straight into the run.
On another, the dataset is used where the same path holds it, as on a shared disk, and else copied
once; checkpoints are written to the node's own disk and sent on from there.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.files import describe_full_disk
from common.remote import Place, UriPlace
from datasets.node_copy import check, copy_data, has_copy


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeFiles:
    """Of one search: `NodeFiles()` is that of one which has everything on its only machine.

    driver_node: the id of the search's node, or empty without a cluster. data_uri: holds copies of
    prepared datasets, in folders of their names. storage: holds checkpoints, in folders named like
    their runs. Where these are left empty, both are at home.
    """

    driver_node: str = ""
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
        if not self._away() or has_copy(data, self.fingerprint) or self._has_copy():
            return None
        return f"waits for {self.dataset}, which this node lacks: gets it from {self._data_place()}"

    def data(self, data: Path) -> Path:
        """The folder with the dataset: `data` itself, or this node's copy, once it is there.

        Raises `DatasetError` and `OSError`.
        """
        if not self._away() or has_copy(data, self.fingerprint):
            return data
        return copy_data(self._data_place(), self.fingerprint, self._copy())

    @contextmanager
    def checkpoint(self, path: Path) -> Iterator[tuple[Path, Callable[[Path], object] | None]]:
        """(file to resume from and to write to, what is to be called with what was written).

        A file that is elsewhere is here meanwhile. Raises `OSError`, and from what is called too.
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
            yield here, _Sending(place, path.name)
        finally:
            here.unlink(missing_ok=True)

    def _away(self) -> bool:
        from search.ray_backend.ray_cluster import node_id

        return bool(self.driver_node) and node_id() != self.driver_node

    def _copy(self) -> Path:
        return cache() / "data" / f"{self.dataset}-{self.fingerprint[:16]}"

    def _has_copy(self) -> bool:
        return has_copy(self._copy(), self.fingerprint)

    def _data_place(self) -> Place:
        from search.ray_backend.file_server import DATA, FileServerPlace

        return (
            UriPlace(self.data_uri).below(self.dataset) if self.data_uri else FileServerPlace(DATA)
        )

    def _checkpoint_place(self) -> Place | None:
        from search.ray_backend.file_server import CHECKPOINTS, FileServerPlace

        return self.stored or (FileServerPlace(CHECKPOINTS) if self._away() else None)


class _Sending:
    """Sends checkpoints to a place, one after the other.

    A place that took one before and can't be reached now is no fault of the training, which goes
    on: the next epoch's is sent again. Raises `OSError` where it never took one, or is full.
    """

    def __init__(self, place: Place, name: str) -> None:
        self._place, self._name, self._took = place, name, False

    def __call__(self, written: Path) -> None:
        try:
            self._place.keep(written, self._name)
            self._took = True
        except OSError as error:
            if not self._took or describe_full_disk(error, written):
                raise


def cache() -> Path:
    """Where a node keeps copies, which may be deleted whenever no search runs there."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tiny-imagenet-search"
