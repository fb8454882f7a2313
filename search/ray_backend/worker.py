"""Implements Ray's `Trainable`: a process that trains one trial after another.

Imports, the compiled loader and the mapped dataset stay in the process; a trial brings its
configuration and leaves nothing but epochs. Only workers import torch here.
"""

import os
import time
from collections.abc import Iterator, MutableMapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ray import tune

from common.errors import UserError
from common.files import describe_full_disk
from results.overview.trial_log import TrialLog
from results.records import EpochMetrics, NetworkCosts
from search.hardware.gpus import VISIBLE
from search.preflight import ROOT, PreflightError, foreign_packages
from search.ray_backend.task import EpochReport, Note, Placement, Task, pack_report

if TYPE_CHECKING:  # it brings torch
    from trainables.training.frozen_views import Preparation

    News = EpochMetrics | Preparation

ASK_EVERY_S = 0.5
"""A training looks at most so often whether it should save itself."""


class TrialMemoryError(Exception):
    """Reports that a trial needs more memory than the machine has.

    It stands for the many types of errors of torch, which would bring torch to the driver.
    """

    # No `UserError`: it fails one trial, as any error in a training does, and ends no command.


class TrialDiskError(UserError):
    """Reports a disk of the run that can't be written, which is no trial's fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BegunEpoch:
    """Holds what an epoch's report needs of the time before its notes; `at` is when the epoch
    began, in seconds since 1970.
    """

    idle_s: float
    costs: NetworkCosts | None
    at: float


class TrialWorker(tune.Trainable):
    """Trains what `search.ray_backend.scheduler` proposes; one `step` is one epoch.

    The config that Ray passes holds a `Task`, and the result of a step holds an `EpochReport` or a
    `Note`.
    """

    _log: TrialLog | None = None
    _begun: BegunEpoch | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Begins the first trial of this process, and imports what training needs. Raises
        `PreflightError` where this node would import another project's packages instead of ours.
        """
        self._epochs: Iterator[News] = iter(())
        self._notes: Iterator[Note] = iter(())
        self._next: Task | None = None
        if wrong := foreign_packages(ROOT):
            raise PreflightError(wrong)
        show_gpu(Task.from_ray(config).placement, os.environ)
        import trainables.train  # noqa: F401

        self._ended, self._measure = time.perf_counter(), False
        self.reset_config(config)

    def __repr__(self) -> str:
        """Returns what Ray's dashboard and `ray list actors` call this worker, once it is set up:
        the run, and the part of a machine that its trials have.
        """
        task = Task.from_ray(self.config)
        threads, gpus = task.placement.threads, task.placement.gpus
        place = f"{gpus:g} GPU" if gpus else f"{threads} thread{'s' if threads > 1 else ''}"
        return f"{task.checkpoint.parents[1].name}: a trial at a time on {place}"

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Accepts the next trial, and returns true.

        The trial before ends in this one's first step: a worker that is lost in between would count
        as two failures, and no watchdog watches this method (ray 2.60.0).
        """
        self._next = Task.from_ray(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Trains one epoch and returns its `EpochReport`, as a result of Ray's. The first report of
        a training holds the network's costs, where the task asks for them. What is printed
        meanwhile goes into the training's log.

        Before it come notes, where the training waits for its images (`fetch_data`) or computes
        outputs (`Preparation`). The scheduler decides when a trial ends. Raises `TrialMemoryError`
        and `TrialDiskError`.
        """
        if self._next is not None:
            if self._log:
                self._log.close()
            self._log = self._next.open_log()
        with self._log or nullcontext():
            return self._train_epoch()

    def _train_epoch(self) -> dict[str, Any]:
        from trainables.training.epoch import PauseError
        from trainables.training.memory import out_of_memory

        idle_s = time.perf_counter() - self._ended
        try:
            self._begin()
            set_process_name(self._task)
            if note := next(self._notes, None):
                return pack_report(note)
            if self._begun is None:
                costs = measure_network(self._task) if self._measure else None
                self._begun = BegunEpoch(idle_s=idle_s, costs=costs, at=time.time())
            found = next(self._epochs)
        except PauseError as paused:
            self._notes = wait_for_end(Note(text=str(paused), waiting=True))
            return pack_report(next(self._notes))
        except Exception as error:
            if out_of_memory(error):
                raise TrialMemoryError(f"{type(error).__name__}: {error}") from error
            if full := describe_full_disk(error, self._task.checkpoint.parents[1]):
                raise TrialDiskError(full) from error
            raise
        if not isinstance(found, EpochMetrics):
            return pack_report(Note(text=found.text, waiting=False))
        begun, self._begun, self._measure = self._begun, None, False
        self._ended = time.perf_counter()
        metrics, at = replace(found, idle_s=begun.idle_s), begun.at + found.start_s
        gpus, costs = name_gpus(self._task), begun.costs
        return pack_report(EpochReport(metrics=metrics, first_step_at=at, costs=costs, gpus=gpus))

    def _begin(self) -> None:
        """Ends the trial before and begins the next one, if there is one."""
        if self._next is not None:
            self.cleanup()
            self._task, self._next = self._next, None
            self._notes = fetch_data(self._task)
            self._epochs = train_epochs(self._task, self._log)
            self._begun, self._measure = None, self._task.measure

    def cleanup(self) -> None:
        """Releases the loader's threads and the network's memory."""
        close = getattr(self._epochs, "close", None)
        if close:
            close()

    def stop(self) -> None:
        """Ends the last trial of this process, and its log."""
        super().stop()  # type: ignore[no-untyped-call]
        if self._log:
            self._log.close()


def show_gpu(placement: Placement, environment: MutableMapping[str, str]) -> None:
    """Lets this process, before CUDA begins in it, see the GPU of its slot and no other.

    Ray 2.60.0 itself hides none from a slot on cores, nor from any where
    RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES is set.
    """
    import ray

    ids = ray.get_gpu_ids() if placement.gpus else []
    environment[VISIBLE] = ",".join(map(str, ids))


def set_process_name(task: Task) -> None:
    """Names this process after its training, in Ray's dashboard and in `ps`, until the epoch ends:
    its actor trains many, one after the other.
    """
    import ray

    ray._raylet.setproctitle(f"ray::{task.training}")  # type: ignore[attr-defined]


def name_gpus(task: Task) -> tuple[str, ...]:
    """Returns the names of the GPUs that Ray has given this process, each with its node's id; none
    where the task has no share of one.
    """
    import ray

    if not task.placement.gpus:
        return ()
    here = ray.get_runtime_context()
    return tuple(f"{here.get_node_id()}/{gpu}" for gpu in here.get_accelerator_ids()["GPU"])


def fetch_data(task: Task) -> Iterator[Note]:
    """Copies the dataset to this node if it isn't there, and yields a note before and after that.
    Raises `DatasetError` and `OSError`.
    """
    if lacks := task.node_files.lacking(task.data):
        yield Note(text=lacks, waiting=True)
        began = time.monotonic()
        task.node_files.data(task.data)
        waited_s = time.monotonic() - began
        yield Note(text=f"has its images after {waited_s:.1f} s", waiting=False)


def wait_for_end(note: Note) -> Iterator[Note]:
    """Yields a note about a training that is saved, again and again until the session ends."""
    while True:
        yield note
        time.sleep(0.2)


def measure_network(task: Task) -> NetworkCosts:
    """Returns what a trial's network costs on this node.

    The worker measures it, because it has the device and the threads that the search assigned.
    """
    from datasets.manifest import read_manifest
    from trainables.profiling.latency import network_costs
    from trainables.training.process import prepare_slot

    slot = task.placement
    device = prepare_slot(slot.threads, slot.per_gpu, slot.free)
    num_classes = len(read_manifest(task.node_files.data(task.data)).class_ids)
    return network_costs(task.config, num_classes, device)


def train_epochs(task: Task, log: TrialLog | None = None) -> "Iterator[EpochMetrics | Preparation]":
    """Trains a trial, from its checkpoint if there is one, and yields the metrics of each epoch,
    and how far it is with what it computes before.

    A checkpoint may lag behind the records: these epochs are trained again, on a CPU to the same
    numbers, and the study ignores them. After a crash of the machine it may be ahead of them: then
    the missing epochs are read from it.
    """
    from datasets.access import open_search_data
    from datasets.loading.share import take_share
    from trainables.train import train_with_news
    from trainables.training.checkpoint import CheckpointError, read_history
    from trainables.training.epoch import every
    from trainables.training.process import prepare_slot

    def asked_to_save() -> bool:
        if log:
            log.limit()
        return task.asked_to_save()

    slot = task.placement
    device = prepare_slot(slot.threads, slot.per_gpu, slot.free)
    data = take_share(open_search_data(task.node_files.data(task.data)), task.images)
    with task.node_files.checkpoint(task.checkpoint) as (path, sent):
        resume = None
        if path.exists():
            try:
                yield from (e for e in read_history(path) if e.epoch > task.epochs_done)
                resume = path
            except CheckpointError:
                path.unlink()  # damaged: the epochs are trained again
        yield from train_with_news(
            task.config,
            data,
            resume,
            checkpoint=path,
            on_saved=sent,
            device=device,
            resident=slot.resident,
            captured=slot.captured,
            stop=every(ASK_EVERY_S, asked_to_save),
        )


def resource_request(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """Returns the resources that Ray reserves for a config's task; tasks with equal ones can share
    a worker.
    """
    has = Task.from_ray(config).placement
    wanted = {"CPU": has.threads, "GPU": has.gpus, "memory": has.memory_bytes}
    bundle = {name: amount for name, amount in wanted.items() if amount}
    if not has.apart_from:
        return tune.PlacementGroupFactory([bundle])
    selector = {"ray.io/node-id": f"!in({','.join(has.apart_from)})"}
    return tune.PlacementGroupFactory([bundle], bundle_label_selector=[selector])
