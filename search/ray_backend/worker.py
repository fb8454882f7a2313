"""The Ray Trainable: a process that trains one trial after another without ever going cold.

Imports, the compiled loader and the mapped dataset stay in the process; a trial brings its
configuration and leaves nothing but epochs. torch is imported here in workers only.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune

from common.files import describe_full_disk
from results.records import EpochMetrics, training_name
from search.preflight import ROOT, PreflightError, foreign_packages
from trainables.config import TrialConfig


class TrialMemoryError(Exception):
    """A trial wants more memory than there is. Torch's own error would bring torch to the driver,
    and has many faces.
    """


class TrialDiskError(Exception):
    """The run's disk takes nothing more, which is no trial's fault; the message is for the user."""


class TrialWorker(tune.Trainable):
    """Trains what `search.ray_backend.searcher` proposes; one `step` is one epoch.

    The config that Ray passes: `number`, `repeat` (of a finalist, else `None`), `config` (a
    `TrialConfig` mapping), `epochs_done` (recorded before, in another process), `data` (the
    prepared dataset's folder), `checkpoint` (a path), `threads` and `gpus` (this worker's share
    of them), `measure` (whether what the network costs is to be measured before the first epoch),
    `supply` (`NodeFiles`, for what is on another node).
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Begins the first trial of this process. Imports what training needs, once.

        Raises `PreflightError` where this node would take another project's packages for ours.
        """
        self._epochs: Iterator[EpochMetrics] = iter(())
        self._notes: Iterator[dict[str, Any]] = iter(())
        self._next: dict[str, Any] | None = None
        if wrong := foreign_packages(ROOT):
            raise PreflightError(wrong)
        import trainables.train  # noqa: F401

        self._ended, self._measure = time.perf_counter(), False
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next trial.

        The one before ends with this one's first step: a worker that is lost in between would
        count as two failures, and no watchdog looks there (ray 2.60.0).
        """
        self._next = new_config
        return True

    def step(self) -> dict[str, Any]:
        """One epoch's metrics, and on the wall clock when its first optimizer step began.

        Before the first of them what `fetch_data` says, where the training has to wait for
        something. Where asked for, with the first of them what the network costs. When a trial is
        over is the scheduler's to say. Raises `TrialMemoryError` and `TrialDiskError`.
        """
        from trainables.training.memory import out_of_memory

        idle_s = time.perf_counter() - self._ended
        try:
            self._begin()
            set_process_name(self._task)
            if note := next(self._notes, None):
                return note
            costs, self._measure = measure_network(self._task) if self._measure else {}, False
            began = time.time()
            metrics = asdict(next(self._epochs)) | {"idle_s": idle_s}
        except Exception as error:
            if out_of_memory(error):
                raise TrialMemoryError(f"{type(error).__name__}: {error}") from error
            if said := describe_full_disk(error, Path(self._task["checkpoint"]).parents[1]):
                raise TrialDiskError(said) from error
            raise
        self._ended = time.perf_counter()
        return metrics | {"first_step_at": began + metrics["start_s"]} | costs

    def _begin(self) -> None:
        """Ends the trial before and begins the next one, where there is one."""
        if self._next is not None:
            self.cleanup()
            self._task, self._next = self._next, None
            self._notes = fetch_data(self._task)
            self._epochs, self._measure = train_epochs(self._task), self._task["measure"]

    def cleanup(self) -> None:
        """Releases the loader's threads and the network."""
        close = getattr(self._epochs, "close", None)
        if close:
            close()


def set_process_name(task: dict[str, Any]) -> None:
    """Calls this process by the training's name, in Ray's dashboard and in `ps`, until its epoch
    ends: its actor trains many, one after the other.
    """
    import ray

    name = training_name(task["number"], task["repeat"])
    ray._raylet.setproctitle(f"ray::{name}")  # type: ignore[attr-defined]


def fetch_data(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Gets the dataset to this node, where it isn't there: says so before, and when it has come.

    `waiting` tells these two apart. Raises `DatasetError` and `OSError`.
    """
    node_files, data = task["supply"], Path(task["data"])
    if lacks := node_files.lacking(data):
        nothing = {"val_top1": None}  # Tune wants the searcher's metric in each result
        yield nothing | {"note": lacks, "waiting": True}
        began = time.monotonic()
        node_files.data(data)
        waited_s = time.monotonic() - began
        yield nothing | {"note": f"has its images after {waited_s:.1f} s", "waiting": False}


def measure_network(task: dict[str, Any]) -> dict[str, Any]:
    """The `NetworkCosts` of a trial, as training and then using its network would find them here.

    In the worker, since it has the device and the threads of which the search knows.
    """
    from datasets.manifest import read_manifest
    from trainables.profiling.latency import network_costs
    from trainables.training.process import prepare_process

    prepare_process(task["threads"])
    num_classes = len(read_manifest(task["supply"].data(Path(task["data"]))).class_ids)
    return asdict(network_costs(TrialConfig.from_dict(task["config"]), num_classes))


def train_epochs(task: dict[str, Any]) -> Iterator[EpochMetrics]:
    """A trial's epochs, going on from its checkpoint where there is one.

    A checkpoint may lag behind what was recorded: those epochs are trained again, to the same
    numbers, and the study passes over them. After a crash of the whole machine it may be ahead:
    then what the records lack is taken from there.
    """
    from datasets.access import open_search_data
    from trainables.train import train
    from trainables.training.checkpoint import CheckpointError, read_history
    from trainables.training.process import prepare_process

    prepare_process(task["threads"])
    config, node_files = TrialConfig.from_dict(task["config"]), task["supply"]
    data = open_search_data(node_files.data(Path(task["data"])))
    # Where trials share a GPU, their memory was shared out without the images.
    resident = task["gpus"] >= 1
    with node_files.checkpoint(Path(task["checkpoint"])) as (path, sent):
        resume = None
        if path.exists():
            try:
                yield from (e for e in read_history(path) if e.epoch > task["epochs_done"])
                resume = path
            except CheckpointError:
                path.unlink()  # damaged: the epochs are trained again, to the same numbers
        yield from train(config, data, resume, checkpoint=path, on_saved=sent, resident=resident)


def resource_request(task: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What Ray is asked for a training. A worker serves all that ask for the same."""
    wanted = {"CPU": task["threads"], "GPU": task["gpus"], "memory": task["memory"]}
    bundle = {name: amount for name, amount in wanted.items() if amount}
    if not task["apart_from"]:
        return tune.PlacementGroupFactory([bundle])
    selector = {"ray.io/node-id": f"!in({','.join(task['apart_from'])})"}
    return tune.PlacementGroupFactory([bundle], bundle_label_selector=[selector])
