"""The node that a search runs on, as a place for the workers on other nodes.

An actor there reads the prepared data and writes checkpoints into the run's folder. Both travel as
Ray objects, a piece at a time, so that no file has to fit into an object store.
"""

import os
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from common.files import open_atomically

DATA, CHECKPOINTS = "data", "checkpoints"

_ACTOR = "home"
_PIECE_BYTES = 32 << 20
_AT_ONCE = 16
"""Calls that are served at the same time: as many nodes read without waiting for each other."""


class FileServer:
    """Runs on the search's node and knows two folders. Names hold no folders."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    def size(self, folder: str, name: str) -> int | None:
        """Bytes of a file; `None` where there is none."""
        path = self._path(folder, name)
        return path.stat().st_size if path.is_file() else None

    def read(self, folder: str, name: str, offset: int) -> bytes:
        """A piece of a file; the last one is shorter."""
        with self._path(folder, name).open("rb") as file:
            file.seek(offset)
            return file.read(_PIECE_BYTES)

    def write(self, name: str, sender: str, offset: int, piece: bytes) -> None:
        """Adds a piece to what `sender` is writing; its first one replaces what it left behind."""
        path = self._partial(name, sender)
        path.parent.mkdir(parents=True, exist_ok=True)
        if offset == 0:
            for leftover in path.parent.glob(f".{name}.*.tmp"):
                leftover.unlink(missing_ok=True)
        with path.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(piece)

    def finish(self, name: str, sender: str, size: int) -> None:
        """Gives what `sender` wrote its name. Raises `OSError` where it isn't `size` bytes long."""
        path = self._partial(name, sender)
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            os.fsync(file.fileno())
        if found != size:
            path.unlink()
            raise OSError(f"{size} bytes of {name} were sent home, but {found} arrived")
        path.replace(self._path(CHECKPOINTS, name))

    def drop(self, name: str) -> None:
        """Removes a checkpoint, if there is one."""
        self._path(CHECKPOINTS, name).unlink(missing_ok=True)

    def _path(self, folder: str, name: str) -> Path:
        if Path(name).name != name or name in ("", ".."):
            raise ValueError(f"{name} must be a file's name alone.")
        return self._folders[folder] / name

    def _partial(self, name: str, sender: str) -> Path:
        return self._path(CHECKPOINTS, name).with_name(f".{name}.{sender}.tmp")


def start_file_server(node_id: str, data: Path, checkpoints: Path) -> Any:
    """Starts the actor on a node, for as long as this process keeps what is returned."""
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
        .remote({DATA: data, CHECKPOINTS: checkpoints})
    )


class FileServerPlace:
    """One folder of the search's node, from a worker on another: see `common.remote.Place`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._home: Any = ray.get_actor(_ACTOR)

    def __str__(self) -> str:
        return "the node that the search runs on"

    def fetch(self, name: str, to: Path) -> bool:
        """See `Place`. The next piece travels while one is written."""
        size = ray.get(self._home.size.remote(self._folder, name))
        if size is None:
            return False
        with open_atomically(to) as file:
            coming = self._home.read.remote(self._folder, name, 0)
            while (offset := file.tell()) < size:
                piece = ray.get(coming)
                if not piece:
                    raise OSError(f"{name} became shorter while it was fetched")
                coming = self._home.read.remote(self._folder, name, offset + len(piece))
                file.write(piece)
        return True

    def keep(self, path: Path, name: str) -> None:
        """See `Place`."""
        sender: str = ray.get_runtime_context().get_worker_id()
        size = path.stat().st_size
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                offset = file.tell() - len(piece)
                ray.get(self._home.write.remote(name, sender, offset, piece))
        ray.get(self._home.finish.remote(name, sender, size))

    def drop(self, name: str) -> None:
        """See `Place`."""
        ray.get(self._home.drop.remote(name))
