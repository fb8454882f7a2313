"""A run's records, kept beside its checkpoints, so that it goes on when its machine is gone."""

import math
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from common.remote import Place, UriPlace
from results.records import EpochMetrics, TrainingId
from results.store import MANIFEST, RunError
from search.planning.plan import Plan
from search.ray_backend.node_files import NodeFiles
from search.study.observer import Observer

ARCHIVE = "run.tar"
KEEP_EVERY_S = 60.0
"""What is lost of the records at most when the machine is lost; those epochs are trained again."""

_STAYS = ("checkpoints", "final")
"""Folders of a run that aren't records: the former is kept by the workers, a file at a time."""


def backup_place(storage: str, run: str) -> UriPlace:
    """Where a run is kept in `storage`."""
    return UriPlace(storage).below(run)


class Backup:
    """Keeps a run's records in a place, as one file: then none of them is ahead of another.

    What can't be kept is said, and tried again after `KEEP_EVERY_S`: the search goes on. To be
    called from the thread that writes the records; only sending is done by another, which also
    calls `drop`.
    """

    def __init__(
        self,
        place: Place,
        directory: Path,
        say: Callable[[str], object],
        drop: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._place, self._directory, self._say, self._drop = place, directory, say, drop
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mirror")
        self._sending: Future[None] | None = None
        self._leaving: list[str] = []
        self._ended: list[str] = []
        self._kept_at = -math.inf

    def ended(self, name: str) -> None:
        """Has `drop` called with the name of a checkpoint that the records don't need any more.

        Not before they are kept: a search that goes on from older ones still needs it.
        """
        self._ended.append(name)

    def tick(self) -> None:
        """Keeps the records the first time, and where the last time is long ago; to be called now
        and then.
        """
        if time.monotonic() - self._kept_at >= KEEP_EVERY_S and self._sent():
            self._begin()

    def close(self) -> None:
        """Keeps the records as they are now, and returns when they have been sent."""
        self._sent(wait=True)
        self._begin()
        self._sent(wait=True)
        self._thread.shutdown()

    def _begin(self) -> None:
        self._kept_at = time.monotonic()
        self._leaving, self._ended = self._leaving + self._ended, []
        self._sending = self._thread.submit(self._send, pack(self._directory), self._leaving)

    def _send(self, archive: Path, leaving: list[str]) -> None:
        try:
            self._place.keep(archive, ARCHIVE)
        finally:
            archive.unlink()
        for name in leaving:
            with suppress(OSError):  # what can't be removed stays
                self._drop(name)

    def _sent(self, *, wait: bool = False) -> bool:
        """Whether nothing is being sent; says what went wrong."""
        if self._sending is None:
            return True
        if not wait and not self._sending.done():
            return False
        sending, self._sending = self._sending, None
        error = sending.exception()
        if error is None:
            self._leaving = []
        else:
            self._say(
                f"note: the run's records couldn't be kept at {self._place} ({error}); they are "
                f"safe in {self._directory}, and it is tried again."
            )
        return True


def pack(directory: Path) -> Path:
    """A run's records as an archive in a temporary file, which is the caller's to remove."""
    with tempfile.NamedTemporaryFile(suffix=".tar", delete=False) as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path in sorted(directory.iterdir()):
                if not path.name.startswith(".") and path.name not in _STAYS:
                    archive.add(path, arcname=path.name)
        return Path(file.name)


def restore_run(place: Place, directory: Path) -> bool:
    """Makes a run's folder from what a `Backup` has kept; false where nothing was.

    The manifest comes last, without which a folder is no run. Raises `RunError` where the archive
    is damaged, and `OSError`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    fetched = directory / f".{ARCHIVE}"
    if not place.fetch(ARCHIVE, fetched):
        return False
    try:
        with tarfile.open(fetched) as archive:
            for member in sorted(archive.getmembers(), key=lambda each: each.name == MANIFEST):
                if not member.isdir():
                    _unpack(archive, member, directory)
    except tarfile.TarError as error:
        raise RunError(
            f"{ARCHIVE} at {place} must be a run's records, but is damaged ({error}); resume on "
            "the machine that began the run."
        ) from error
    finally:
        fetched.unlink()
    return True


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    """Files within the folder only: Python 3.11 has tarfile's filter for that from 3.11.4 on.

    Raises `tarfile.TarError` for any other.
    """
    path = directory / member.name
    source = archive.extractfile(member) if member.isfile() else None
    if source is None or not path.resolve().is_relative_to(directory.resolve()):
        raise tarfile.TarError(f"{member.name!r} is no file of a run")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(source, file)


def make_node_files(plan: Plan, fingerprint: str) -> NodeFiles:
    """Where trainings get the dataset of that fingerprint and keep checkpoints.

    Raises `DatasetError` and `OSError` where the place that was named lacks these images.
    """
    node_files = NodeFiles(
        driver_node=plan.cluster.driver_node if plan.cluster else "",
        run=plan.name,
        dataset=plan.dataset,
        fingerprint=fingerprint,
        data_uri=plan.options.data_uri,
        storage=plan.options.storage,
    )
    node_files.check()
    return node_files


class StorageSync(Observer):
    """An `Observer` that sends the run's records to the storage, which the checkpoints of trials
    that have ended leave.

    From `start` on, until `close`. `say` is told what couldn't be kept.
    """

    def __init__(
        self, node_files: NodeFiles, directory: Path, say: Callable[[str], object]
    ) -> None:
        self._node_files, self._directory, self._say = node_files, directory, say
        self._backup: Backup | None = None
        self._opening: set[str] | None = set()

    def start(self) -> None:
        """Looks up what is stored of the run. Raises `OSError` where that can't be reached."""
        if stored := self._node_files.stored:
            place = backup_place(self._node_files.storage, self._node_files.run)
            self._backup = Backup(place, self._directory, self._say, stored.drop)
            self._opening = stored.names()

    def dropped(self, name: str) -> None:
        """A checkpoint of that name has been removed from the run.

        While a run is opened, that is told of every trial that has ended: then only what is there
        is asked for.
        """
        if self._backup and (self._opening is None or name in self._opening):
            self._backup.ended(name)

    def opened(self) -> None:
        """The run is open: from now on checkpoints are dropped because trials end."""
        self._opening = None

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        """Sends the records where the last time is long ago."""
        if self._backup:
            self._backup.tick()

    def close(self) -> None:
        """Brings everything to its end, after the last record was written."""
        if self._backup:
            self._backup.close()
