"""Gives a training the files that it needs, on any node.

On the search's own node, the dataset is there and checkpoints are written into the run. On another
node, the dataset is used if the same path holds it, as on a shared disk, and copied once otherwise;
checkpoints are written to the node's own disk and sent from there.
"""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.files import describe_full_disk, find_unwritable
from common.remote import Place, UriPlace
from datasets.node_copy import check, copy_data, has_copy
from datasets.spec import folder_name
from results.overview.trial_log import TrialLog

_CACHE = "tiny-imagenet-search"
"""A node's folder for copies has this name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeFiles:
    """Finds the files of one search; `NodeFiles()` belongs to a search on a single machine.

    driver_node: the id of the search's node, or empty without a cluster.
    data_uri: the place of copies of prepared datasets, in folders of their names, or empty where
        the search's node has the dataset.
    storage: the place of checkpoints, in folders named after their runs, or empty where the
        search's node has them.
    """

    driver_node: str = ""
    run: str = ""
    dataset: str = ""
    fingerprint: str = ""
    data_uri: str = ""
    storage: str = ""

    @property
    def stored(self) -> UriPlace | None:
        """Returns the place of checkpoints, or `None` where the search's node has them."""
        return UriPlace(self.storage).below(self.run, "checkpoints") if self.storage else None

    def check(self) -> None:
        """Checks before trials begin that `data_uri`, if there is one, holds these images. Raises
        `DatasetError` where it doesn't, and `OSError` where it can't be reached.
        """
        if self.data_uri:
            check(self._shared_data(), self.fingerprint, cache() / "checking")

    def lacking(self, data: Path) -> str | None:
        """Returns a sentence about images that a training on this node waits for, or `None`."""
        if not self._away() or has_copy(data, self.fingerprint) or self._has_copy():
            return None
        return f"waits for {self.dataset}, which this node lacks: gets it from {self._data_place()}"

    def data(self, data: Path) -> Path:
        """Returns the folder with the dataset: `data` itself, or this node's copy, which it makes
        first where it is missing. Raises `DatasetError` and `OSError`.
        """
        if not self._away() or has_copy(data, self.fingerprint):
            return data
        return copy_data(self._data_place(), self.fingerprint, self._copy())

    @contextmanager
    def checkpoint(self, path: Path) -> Iterator[tuple[Path, Callable[[Path], object] | None]]:
        """Yields (file to resume from and to write to, function to call with each written file).

        The file of a training whose checkpoints are elsewhere is on this node until the end of the
        `with` statement. Raises `OSError`, and so does the function.
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
            yield here, _CheckpointSender(place, path.name)
        finally:
            here.unlink(missing_ok=True)

    def log(self, path: Path) -> TrialLog:
        """Returns the log of a training whose run is to keep it at `path`. On another node, what is
        printed is sent there.
        """
        if not self._away():
            return TrialLog(path)
        from search.ray_backend.file_server import LOGS, FileServerPlace

        home = FileServerPlace(LOGS)
        cache().mkdir(parents=True, exist_ok=True)
        here = cache() / LOGS / f"{self.run}-{os.getpid()}-{path.name}"
        return TrialLog(here, send=lambda data: home.append(path.name, data))

    def _away(self) -> bool:
        from search.ray_backend.ray_cluster import node_id

        return bool(self.driver_node) and node_id() != self.driver_node

    def _copy(self) -> Path:
        return cache() / "data" / f"{folder_name(self.dataset)}-{self.fingerprint[:16]}"

    def _has_copy(self) -> bool:
        return has_copy(self._copy(), self.fingerprint)

    def _data_place(self) -> Place:
        from search.ray_backend.file_server import DATA, FileServerPlace

        return self._shared_data() if self.data_uri else FileServerPlace(DATA)

    def _shared_data(self) -> UriPlace:
        return UriPlace(self.data_uri).below(folder_name(self.dataset))

    def _checkpoint_place(self) -> Place | None:
        from search.ray_backend.file_server import CHECKPOINTS, FileServerPlace

        return self.stored or (FileServerPlace(CHECKPOINTS) if self._away() else None)


class _CheckpointSender:
    """Sends checkpoints to a place, one after the other.

    Where the place accepted one before and can't be reached now, the training continues and sends
    the next epoch's. Raises `OSError` where the place never accepted one, or is full.
    """

    def __init__(self, place: Place, name: str) -> None:
        self._place, self._name, self._accepted = place, name, False

    def __call__(self, written: Path) -> None:
        try:
            self._place.keep(written, self._name)
            self._accepted = True
        except OSError as error:
            if not self._accepted or describe_full_disk(error, written):
                raise


def cache() -> Path:
    """Returns a node's folder for copies, which may be deleted while no search runs there: one of
    XDG_CACHE_HOME, else of ~/.cache, else of the folder for temporary files, for a user without a
    home that can be written. Raises `OSError` where somebody else could write to the last one.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError):  # a user id that the system doesn't know has no home
        usual = (Path(named) if named else Path.home() / ".cache") / _CACHE
        if not find_unwritable(usual):
            return usual
    private = Path(tempfile.gettempdir(), f"{_CACHE}-{os.getuid()}")
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{private} must be a folder that only this user writes; remove it")
    return private
