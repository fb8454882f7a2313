"""Copies a run's records to the storage, beside its checkpoints, so that the run can be resumed
when its machine is lost.
"""

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
"""Records are copied this often, in seconds. If the machine is lost, the epochs since the last copy
are trained again.
"""

MAX_MEMBERS = 100_000
"""A copy that has more members than this isn't restored."""

_END = bytes(1024)
"""An archive that is whole ends with at least so many zeros."""

_STAYS = ("checkpoints", "final", "logs", "ray", "hooks.log")
"""These folders of a run, and what the user's commands printed, hold no records. Workers copy the
checkpoints themselves, file by file, and write the logs while an archive is made.
"""


def backup_place(storage: str, run: str) -> UriPlace:
    """Returns the place of the run's copy in `storage`."""
    return UriPlace(storage).below(run)


class Backup:
    """Copies a run's records to a place as one file, so that they all are of the same moment.

    Where a copy fails, the search continues, `warn` is called with a note, and the copy is tried
    again after `KEEP_EVERY_S`. The methods must be called from the thread that writes the records.
    Another thread sends the file, and then calls `drop`.
    """

    def __init__(
        self,
        place: Place,
        directory: Path,
        warn: Callable[[str], object],
        drop: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._place, self._directory, self._warn, self._drop = place, directory, warn, drop
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mirror")
        self._sending: Future[None] | None = None
        self._leaving: list[str] = []
        self._ended: list[str] = []
        self._kept_at = -math.inf

    def ended(self, name: str) -> None:
        """Has `drop` called with the name of a checkpoint that the records don't need any more,
        after the next copy. A search that is resumed from an older copy still needs the checkpoint.
        """
        self._ended.append(name)

    def tick(self) -> None:
        """Starts a copy if there is none yet, or if the last one is long ago. This must be called
        regularly.
        """
        if time.monotonic() - self._kept_at >= KEEP_EVERY_S and self._sent():
            self._begin()

    def close(self) -> None:
        """Copies the records as they are now, and returns when they have been sent."""
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
        """Returns whether nothing is being sent, and reports the error of a copy that failed."""
        if self._sending is None:
            return True
        if not wait and not self._sending.done():
            return False
        sending, self._sending = self._sending, None
        error = sending.exception()
        if error is None:
            self._leaving = []
        else:
            self._warn(
                f"note: the run's records couldn't be copied to {self._place} ({error}); they are "
                f"safe in {self._directory}, and copying is tried again."
            )
        return True


def pack(directory: Path) -> Path:
    """Packs a run's records into an archive and returns its path. The archive is a temporary file,
    which the caller removes.
    """
    with tempfile.NamedTemporaryFile(suffix=".tar", delete=False) as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path in sorted(directory.iterdir()):
                if not path.name.startswith(".") and path.name not in _STAYS:
                    archive.add(path, arcname=path.name)
        return Path(file.name)


def restore_run(place: Place, directory: Path) -> bool:
    """Restores a run's folder from the copy of a `Backup`; returns whether there was a copy.

    The manifest, without which a folder is no run, comes last, and nothing stays of a copy that
    can't be restored whole. Raises `RunError` where the archive is damaged, and `OSError`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    fetched, unpacked = directory / f".{ARCHIVE}", directory / ".restored"
    shutil.rmtree(unpacked, ignore_errors=True)  # a killed process left it
    try:
        if not place.fetch(ARCHIVE, fetched):
            return False
        _unpack(fetched, unpacked)
        for path in sorted(unpacked.iterdir(), key=lambda each: each.name == MANIFEST):
            if (directory / path.name).is_dir():  # of a restoration that was killed
                shutil.rmtree(directory / path.name)
            path.replace(directory / path.name)
    except (tarfile.TarError, FileExistsError, NotADirectoryError) as error:
        raise RunError(
            f"{ARCHIVE} at {place} must be a run's records, but is damaged ({error}); resume on "
            "the machine that began the run."
        ) from error
    finally:
        fetched.unlink(missing_ok=True)
        shutil.rmtree(unpacked, ignore_errors=True)
    return True


def _unpack(archive: Path, folder: Path) -> None:
    """Writes the files of an archive, which `pack` has made, into a new folder. Raises
    `tarfile.TarError` for one that it can't have made, and `FileExistsError` and
    `NotADirectoryError` for members whose names exclude one another.

    The archive isn't compressed and has no sparse files, so that it can't unpack to more than it
    is.
    """
    folder.mkdir()
    with tarfile.open(archive, "r:") as members:
        for number, member in enumerate(members, 1):
            if number > MAX_MEMBERS:
                raise tarfile.TarError(f"it has more than {MAX_MEMBERS:,} members")
            if member.isdir():
                continue
            parts = member.name.split("/")
            outside = not {"", ".", ".."}.isdisjoint(parts) or parts[0].startswith(".")
            plain = member.isreg() and not member.issparse()
            source = members.extractfile(member) if plain and not outside else None
            if source is None or parts[0] in _STAYS:
                raise tarfile.TarError(f"{member.name!r} is no file of a run")
            path = folder.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                shutil.copyfileobj(source, file)
    with archive.open("rb") as file:  # tarfile takes a cut and a broken header for the end
        file.seek(members.offset)
        if file.read(len(_END)) != _END:
            raise tarfile.TarError(f"it breaks off at byte {members.offset:,}")


def make_node_files(plan: Plan, fingerprint: str) -> NodeFiles:
    """Returns the files that nodes share: the dataset of that fingerprint, and the checkpoints.

    Raises `DatasetError` and `OSError` where the place in the options lacks these images.
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
    """Copies the run's records to the storage, and removes from there the checkpoints of trials
    that have ended.

    Copies are made between `start` and `close`. `warn` is called with a note on each that failed.
    """

    def __init__(
        self, node_files: NodeFiles, directory: Path, warn: Callable[[str], object]
    ) -> None:
        self._node_files, self._directory, self._warn = node_files, directory, warn
        self._backup: Backup | None = None
        self._opening: set[str] | None = set()

    def start(self) -> None:
        """Lists what is stored of the run. Raises `OSError` where the storage can't be reached."""
        if stored := self._node_files.stored:
            place = backup_place(self._node_files.storage, self._node_files.run)
            self._backup = Backup(place, self._directory, self._warn, stored.drop)
            self._opening = stored.names()

    def dropped(self, name: str) -> None:
        """Records that a checkpoint of that name has been removed from the run.

        While a run is being opened, this is called for every trial that has ended, and names that
        aren't stored are ignored.
        """
        if self._backup and (self._opening is None or name in self._opening):
            self._backup.ended(name)

    def opened(self) -> None:
        """Records that the run is open: from now on checkpoints are dropped because trials end."""
        self._opening = None

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        """Starts a copy of the records if the last one is long ago."""
        if self._backup:
            self._backup.tick()

    def close(self) -> None:
        """Makes the last copy and waits for it, after the last record was written."""
        if self._backup:
            self._backup.close()
