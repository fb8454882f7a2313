"""Measures and checks what a search needs to know before its first trial."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from datasets.access import TRAIN_FILE
from datasets.manifest import verify
from search.hardware import probe
from search.hardware.calibration import CalibrationStore, calibration_key
from search.hardware.memory import worker_bytes
from search.monitoring.monitor import Monitor
from search.planning.plan import Plan
from search.planning.resources import allocate_resources
from search.ray_backend.ray_cluster import submit

P = ParamSpec("P")
T = TypeVar("T")


def allocate_gpus(plan: Plan, monitor: Monitor, torch: probe.TorchProcess) -> Plan:
    """Returns the plan with as many trials on each GPU as fit. Raises `ProbeError` where not even
    one fits. This hasn't been tried on a GPU yet.
    """
    largest = plan.bounds.largest
    each = submit_where_trials_run(plan, torch, probe.measure_gpu, largest).result()
    monitor.inform(f"GPUs       {each:g} of one for each trial, by the peak memory of the largest")
    needed = worker_bytes(largest)
    resources = allocate_resources(plan.options, plan.machine, plan.cluster, needed, f"{each:g}")
    return replace(plan, resources=resources)


def submit_where_trials_run(
    plan: Plan, torch: probe.TorchProcess, function: Callable[P, T], *args: P.args, **kw: P.kwargs
) -> "Future[T]":
    """Calls `function` where trials will run, on a node of the cluster or on this machine, and
    returns a future of its result.
    """
    if plan.cluster:
        return submit(plan.resources, function, *args, **kw)
    return torch.submit(function, *args, **kw)


def start_precision_measurement(
    plan: Plan, torch: probe.TorchProcess
) -> Callable[[], tuple[str, str]]:
    """Starts to measure the faster precision, unless the options name one or it was measured
    before. Returns a function that waits for the result: (precision, reason).
    """
    asked = plan.baseline.precision
    if asked != "auto":
        return lambda: (asked, "as asked")
    calibrations = CalibrationStore(Path(plan.options.out) / ".calibrations.json")
    key = calibration_key(plan.baseline, plan.resources.threads, plan.machine)
    # Ray decides which node measures, so that no stored measurement is known to be from that node.
    stored = calibrations.find(key) if plan.cluster is None else None
    if stored is not None:
        return lambda: (stored.precision, f"{stored.why()}, measured before")
    future = submit_where_trials_run(
        plan, torch, probe.measure, plan.baseline, plan.resources.threads
    )

    def wait() -> tuple[str, str]:
        measured = future.result()
        if plan.cluster is None:
            calibrations.keep(key, measured)
        return measured.precision, measured.why()

    return wait


def verify_training_images(data: Path) -> None:
    """Compares the file of training images in `data` with its manifest. Raises `DatasetError` where
    a byte differs.

    For 100,000 images of 64 px this takes a second of one core, while Ray starts, and leaves the
    images in the page cache for the trials. The test images stay closed.
    """
    verify(data, {TRAIN_FILE})
