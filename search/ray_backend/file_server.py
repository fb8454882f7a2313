"""Serves the files of a search's own node to the workers on other nodes.

An actor reads the prepared data there and writes checkpoints and logs into the run's folder. They
travel as Ray objects, in pieces, so that no file has to fit into an object store.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from common.files import open_atomically
from results.overview.trial_log import append_log

DATA, CHECKPOINTS, LOGS = "data", "checkpoints", "logs"

_ACTOR = "home"
_PIECE_BYTES = 32 << 20
_PATIENCE_S = 10.0
_AT_ONCE = 16
"""The actor serves this many calls at the same time, so that nodes needn't wait for each other."""


class FileServer:
    """Reads and writes the files of three folders on the search's node; names must not hold a
    slash.
    """

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    def size(self, folder: str, name: str) -> int | None:
        """Returns the size of a file in bytes, or `None` where there is none."""
        path = self._path(folder, name)
        return path.stat().st_size if path.is_file() else None

    def read(self, folder: str, name: str, offset: int) -> bytes:
        """Returns a piece of a file, from `offset` on; the last one is shorter."""
        with self._path(folder, name).open("rb") as file:
            file.seek(offset)
            return file.read(_PIECE_BYTES)

    def write(self, name: str, sender: str, offset: int, piece: bytes) -> None:
        """Writes a piece of a file that `sender` sends; the first one replaces earlier
        leftovers.
        """
        path = self._partial(name, sender)
        path.parent.mkdir(parents=True, exist_ok=True)
        if offset == 0:
            for leftover in path.parent.glob(f".{name}.*.tmp"):
                leftover.unlink(missing_ok=True)
        with path.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(piece)

    def finish(self, name: str, sender: str, size: int) -> None:
        """Renames the file that `sender` sent to `name`. Raises `OSError` unless it has `size`
        bytes.
        """
        path = self._partial(name, sender)
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            os.fsync(file.fileno())
        if found != size:
            path.unlink()
            raise OSError(f"{size} bytes of {name} were sent home, but {found} arrived")
        path.replace(self._path(CHECKPOINTS, name))

    def append(self, name: str, data: bytes) -> None:
        """Appends to a log what a training has printed."""
        append_log(self._path(LOGS, name), data)

    def drop(self, name: str) -> None:
        """Removes a checkpoint, if there is one."""
        self._path(CHECKPOINTS, name).unlink(missing_ok=True)

    def _path(self, folder: str, name: str) -> Path:
        if Path(name).name != name or name in ("", ".."):
            raise ValueError(f"{name} must be a file's name alone.")
        return self._folders[folder] / name

    def _partial(self, name: str, sender: str) -> Path:
        return self._path(CHECKPOINTS, name).with_name(f".{name}.{sender}.tmp")


def start_file_server(node_id: str, data: Path, run: Path) -> Any:
    """Starts the actor on a node for a prepared dataset and a run; it runs until this process drops
    the returned handle.
    """
    return (
        ray.remote(FileServer)
        .options(
            name=_ACTOR,
            num_cpus=0,
            max_concurrency=_AT_ONCE,
            max_restarts=-1,
            max_task_retries=2,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        )
        .remote({DATA: data, CHECKPOINTS: run / CHECKPOINTS, LOGS: run / LOGS})
    )


class FileServerPlace:
    """Reaches one folder of the search's node from another node, as a `common.remote.Place`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._server: Any = ray.get_actor(_ACTOR)

    def __str__(self) -> str:
        return "the node that the search runs on"

    def fetch(self, name: str, to: Path) -> bool:
        """Fetches a file as `Place.fetch` does; the next piece travels while one is written."""
        size = ray.get(self._server.size.remote(self._folder, name))
        if size is None:
            return False
        with open_atomically(to) as file:
            coming = self._server.read.remote(self._folder, name, 0)
            while (offset := file.tell()) < size:
                piece = ray.get(coming)
                if not piece:
                    raise OSError(f"{name} became shorter while it was fetched")
                coming = self._server.read.remote(self._folder, name, offset + len(piece))
                file.write(piece)
        return True

    def keep(self, path: Path, name: str) -> None:
        """Sends a file to the node, as `Place.keep` does."""
        sender: str = ray.get_runtime_context().get_worker_id()
        size = path.stat().st_size
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                offset = file.tell() - len(piece)
                ray.get(self._server.write.remote(name, sender, offset, piece))
        ray.get(self._server.finish.remote(name, sender, size))

    def append(self, name: str, data: bytes) -> None:
        """Appends to a log on the node, or not where the node doesn't answer: no training is to
        fail for that.
        """
        with suppress(RayError):
            ray.get(self._server.append.remote(name, data), timeout=_PATIENCE_S)

    def drop(self, name: str) -> None:
        """Removes a file on the node, as `Place.drop` does."""
        ray.get(self._server.drop.remote(name))
