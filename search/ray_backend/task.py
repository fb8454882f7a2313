"""Defines what travels between the driver and a worker: a `Task` there, an `EpochReport` or a
`Note` back.

Ray carries dicts in both directions. They are written and read here, and nowhere else. `RunFiles`
makes the tasks, on the driver. Workers import this module too, so its imports stay light.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from results.overview.trial_log import TrialLog, log_path
from results.records import EpochMetrics, NetworkCosts, TrainingId
from results.store import checkpoint_path
from search.ray_backend.node_files import NodeFiles
from trainables.config import TrialConfig

if TYPE_CHECKING:  # workers, which import this module, do without Optuna
    from search.study.proposer import Proposal

_TASK, _REPORT = "task", "report"
"""A config of Ray's has the first key alone; a result of Ray's has the second one among others."""


_SAVE = ".save"
"""While a file of this name lies beside the checkpoints, trainings save themselves and pause."""


class SessionEnd:
    """Ends Tune's loop between two of its steps, and asks running trainings to save themselves and
    to pause. All workers that see the run's folder `directory` find the request there.

    time_is_up: returns whether the session ends now, whatever running epochs still need.
    """

    def __init__(self, directory: Path, time_is_up: Callable[[], bool] = lambda: False) -> None:
        self.event = threading.Event()
        self._request = checkpoint_path(directory, TrainingId(0)).with_name(_SAVE)
        self._time_is_up = time_is_up
        self.forget()  # an earlier session that was killed while it ended has left its request

    def begin(self) -> None:
        """Begins to end the loop; a signal's handler and any thread may call this. Where the folder
        can't be written, trainings go on from their last checkpoints.
        """
        self.event.set()
        with suppress(OSError):
            self._request.parent.mkdir(parents=True, exist_ok=True)
            self._request.touch()

    def check_time(self) -> None:
        """Begins to end the loop if the time is up."""
        if not self.event.is_set() and self._time_is_up():
            self.begin()

    def forget(self) -> None:
        """Takes back what running trainings were asked to do."""
        with suppress(OSError):
            self._request.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Holds the part of a machine that a training has. Raises `ValueError` for amounts below what a
    training needs.

    threads: the number of CPU threads, at least 1.
    gpus: a share of a GPU, 0 for a training on cores.
    per_gpu: how many trainings share a GPU.
    free: the share of its memory that these may take together of each GPU, by its UUID.
    resident: whether room is reserved in that for the dataset's images.
    captured: whether a step on the GPU is one CUDA graph.
    memory_bytes: the memory that Ray reserves for the training; 0 where it reserves none.
    apart_from: the ids of nodes on which the training must not run.
    """

    threads: int
    gpus: float = 0.0
    per_gpu: int = 0
    free: Mapping[str, float] = field(default_factory=dict)
    resident: bool = False
    captured: bool = False
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
    """Describes a training for a worker. Raises `ValueError` for a number below 0 and for relative
    paths.

    epochs_done: the number of epochs that another process has recorded.
    data: the prepared dataset's folder, as an absolute path on the search's own node.
    checkpoint: the training's file, as an absolute path on the search's own node.
    node_files: brings both to other nodes.
    measure: whether the worker measures what the network costs before the first epoch.
    images: the share of the training images of each class that the training sees.
    """

    training: TrainingId
    config: TrialConfig
    epochs_done: int
    data: Path
    checkpoint: Path
    node_files: NodeFiles
    placement: Placement
    measure: bool = False
    images: float = 1.0

    def __post_init__(self) -> None:
        if self.epochs_done < 0:
            raise ValueError(f"epochs_done must be ≥ 0, but got {self.epochs_done}.")
        for name, path in (("data", self.data), ("checkpoint", self.checkpoint)):
            if not path.is_absolute():
                raise ValueError(f"{name} must be an absolute path, but got {path}.")

    def asked_to_save(self) -> bool:
        """Returns whether the session ends and the training should save itself (`SessionEnd`)."""
        return (self.checkpoint.parent / _SAVE).exists()

    def open_log(self) -> TrialLog:
        """Returns the log that keeps what the training prints on this node."""
        return self.node_files.log(log_path(self.checkpoint.parents[1], self.training))

    def to_ray(self) -> dict[str, Any]:
        """Returns the task as a config of Ray's."""
        return {_TASK: self}

    @classmethod
    def from_ray(cls, config: Mapping[str, Any]) -> Self:
        """Returns the task in a config of Ray's. Raises `TypeError` where there is none."""
        task = config.get(_TASK)
        if not isinstance(task, cls):
            raise TypeError(f"a config of Ray's must hold a {cls.__name__}, but holds {task!r:.40}")
        return task


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFiles:
    """Holds the places of a run's images and checkpoints.

    directory: the run's folder.
    data: the prepared dataset's folder.
    node_files: brings both to other nodes.
    """

    directory: Path
    data: Path
    node_files: NodeFiles

    def task(
        self, proposal: "Proposal[TrialConfig]", placement: Placement, *, measure: bool
    ) -> Task:
        """Returns the task of a proposal that has got a place on a machine."""
        return Task(
            training=proposal.training,
            config=proposal.config,
            epochs_done=proposal.epochs_done,
            data=self.data.resolve(),
            checkpoint=checkpoint_path(self.directory, proposal.training).resolve(),
            node_files=self.node_files,
            placement=placement,
            measure=measure,
            images=proposal.images,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Holds a sentence for people about a training that has no epoch to report now.

    `waiting` is true where the training now waits for something, and may be silent for long.
    """

    text: str
    waiting: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochReport:
    """Holds the metrics of a trained epoch, and what was measured beside them.

    first_step_at: when the epoch's first optimizer step began, in seconds since 1970 on the
        worker's clock.
    costs: what the network costs; only a training's first report has them, where the task asks for
        them.
    gpus: the names of the GPUs that the training has, which differ between nodes too.
    """

    metrics: EpochMetrics
    first_step_at: float
    costs: NetworkCosts | None = None
    gpus: tuple[str, ...] = ()


def pack_report(report: EpochReport | Note) -> dict[str, Any]:
    """Returns a worker's report as a result of Ray's, which Ray adds its own keys to."""
    return {_REPORT: report}


def read_report(result: Mapping[str, Any]) -> EpochReport | Note:
    """Returns the report in a result of Ray's. Raises `TypeError` where there is none."""
    report = result.get(_REPORT)
    if not isinstance(report, EpochReport | Note):
        raise TypeError(f"a result of Ray's must hold a report, but holds {report!r:.40}")
    return report
