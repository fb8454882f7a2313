"""What travels between the driver and a worker: a `Task` there, an `EpochReport` or a `Note` back.

Ray carries dicts in both directions. Here, and nowhere else, these are written and read. Workers
import this, so that it stays free of what only the driver needs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from results.records import EpochMetrics, NetworkCosts, TrainingId
from search.ray_backend.node_files import NodeFiles
from trainables.config import TrialConfig

_TASK = "task"
"""The one key of a config of Ray's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What of a machine a training has. Raises `ValueError` for amounts below what it needs.

    threads: CPU threads, 1 at least. gpus: a share of a GPU, or several whole ones. memory_bytes:
    what Ray promises it; 0 where nothing is. apart_from: ids of nodes on which it must not run.
    """

    threads: int
    gpus: float = 0.0
    memory_bytes: int = 0
    apart_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, amount, least in (
            ("threads", self.threads, 1),
            ("gpus", self.gpus, 0),
            ("memory_bytes", self.memory_bytes, 0),
        ):
            if amount < least:
                raise ValueError(f"{name} must be ≥ {least}, but got {amount}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a worker is to train, and with what. Raises `ValueError` for what can't be.

    `epochs_done` were recorded before, by another process. `data` is the prepared dataset's folder
    and `checkpoint` the training's file, both as absolute paths on the search's own node;
    `node_files` gets them to others. `measure`: whether what the network costs is to be measured
    before the first epoch.
    """

    training: TrainingId
    config: TrialConfig
    epochs_done: int
    data: Path
    checkpoint: Path
    node_files: NodeFiles
    placement: Placement
    measure: bool = False

    def __post_init__(self) -> None:
        if self.epochs_done < 0:
            raise ValueError(f"epochs_done must be ≥ 0, but got {self.epochs_done}.")
        for name, path in (("data", self.data), ("checkpoint", self.checkpoint)):
            if not path.is_absolute():
                raise ValueError(f"{name} must be an absolute path, but got {path}.")

    def to_ray(self) -> dict[str, Any]:
        """The task as a config of Ray's."""
        return {_TASK: self}

    @classmethod
    def from_ray(cls, config: Mapping[str, Any]) -> Self:
        """The task in a config of Ray's. Raises `TypeError` where there is none."""
        task = config.get(_TASK)
        if not isinstance(task, cls):
            raise TypeError(f"a config of Ray's must hold a {cls.__name__}, but holds {task!r:.40}")
        return task


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What a training says of itself before its first epoch, for people.

    waiting: whether it waits for something from now on, and may be silent for long.
    """

    text: str
    waiting: bool

    def to_ray(self) -> dict[str, Any]:
        """The note as a result of Ray's, which must hold the searcher's metric."""
        return {"note": self.text, "waiting": self.waiting, "val_top1": None}


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochReport:
    """A trained epoch.

    first_step_at: when its first optimizer step began, in seconds since 1970 on the worker's clock.
    costs: what the network costs, with a training's first epoch where that was asked for.
    """

    metrics: EpochMetrics
    first_step_at: float
    costs: NetworkCosts | None = None

    def to_ray(self) -> dict[str, Any]:
        """The epoch as a result of Ray's: its metrics by their names, and the rest beside them."""
        costs = asdict(self.costs) if self.costs else {}
        return {**asdict(self.metrics), "first_step_at": self.first_step_at, **costs}


def read_result(result: Mapping[str, Any]) -> EpochReport | Note:
    """What a worker reports. Raises `RecordError` and `KeyError` for what no worker writes."""
    if "note" in result:
        return Note(text=result["note"], waiting=result["waiting"])
    values = dict(result)
    return EpochReport(
        metrics=EpochMetrics.from_json(values),
        first_step_at=result["first_step_at"],
        costs=NetworkCosts.from_json(values) if "latency_ms" in result else None,
    )
