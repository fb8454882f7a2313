"""What is measured before a search, where its trials will run: on this machine, or on a node."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from datasets.access import TRAIN_FILE
from datasets.manifest import Manifest, verify
from search.hardware import probe
from search.hardware.calibration import CalibrationStore, Measurement, calibration_key
from search.hardware.memory import worker_bytes
from search.monitoring.monitor import Monitor
from search.planning.plan import Plan, allocate_resources
from search.ray_backend.ray_cluster import submit

P = ParamSpec("P")
T = TypeVar("T")


def allocate_gpus(plan: Plan, monitor: Monitor, torch: probe.TorchProcess) -> Plan:
    """The plan with as many trials on each GPU as fit. Not yet measured on a GPU.

    Raises `ProbeError` where not one does.
    """
    largest = plan.bounds.largest
    each = submit_where_trials_run(plan, torch, probe.measure_gpu, largest).result()
    monitor.say(f"GPUs       {each:g} of one for each trial, by the peak memory of the largest")
    needed = worker_bytes(largest)
    resources = allocate_resources(plan.options, plan.machine, plan.cluster, needed, f"{each:g}")
    return replace(plan, resources=resources)


def submit_where_trials_run(
    plan: Plan, torch: probe.TorchProcess, function: Callable[P, T], *args: P.args, **kw: P.kwargs
) -> "Future[T]":
    """`function` called where trials will run: on a node of the cluster, or here."""
    if plan.cluster:
        return submit(plan.resources, function, *args, **kw)
    return torch.submit(function, *args, **kw)


class PrecisionMeasurement:
    """The precision: as asked, as measured before, or being measured from `start` on."""

    def __init__(self, plan: Plan, torch: probe.TorchProcess) -> None:
        self._plan, self._torch = plan, torch
        self._asked = plan.baseline.precision
        self._calibrations = CalibrationStore(Path(plan.options.out) / ".calibrations.json")
        self._key = calibration_key(plan.baseline, plan.resources.threads, plan.machine)
        # Which node measures is Ray's to say, so that nothing measured before is known to be of it.
        self._kept = plan.cluster is None
        self._before: Measurement | None = None
        self._future: Future[Measurement] | None = None

    def start(self) -> None:
        """Begins to measure where that is needed: asked for, and not measured before."""
        self._before = self._calibrations.find(self._key) if self._kept else None
        if self._asked == "auto" and self._before is None:
            baseline, threads = self._plan.baseline, self._plan.resources.threads
            self._future = submit_where_trials_run(
                self._plan, self._torch, probe.measure, baseline, threads
            )

    def outcome(self) -> tuple[str, str]:
        """(precision, why), when it is known."""
        if self._asked != "auto":
            return self._asked, "as asked"
        if self._before is not None:
            return self._before.precision, f"{self._before.why()}, measured before"
        assert self._future is not None, "start it first"
        measured = self._future.result()
        if self._kept:
            self._calibrations.keep(self._key, measured)
        return measured.precision, measured.why()


class DataVerification:
    """Compares the file of training images with the manifest while Ray starts, in a thread.

    Of 100,000 images of 64 px it is a second of one core, and the trials find them in the page
    cache. The test images stay closed.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="verify")
        self._reading: Future[Manifest] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True)

    def start(self, data: Path) -> None:
        """Begins to read the dataset prepared in `data`."""
        self._reading = self._thread.submit(verify, data, {TRAIN_FILE})

    def outcome(self) -> None:
        """Returns when all is read. Raises `DatasetError` where a byte differs."""
        assert self._reading is not None, "start it first"
        self._reading.result()
