"""Measures and checks what a search needs to know before its first trial."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from datasets.access import TRAIN_FILE
from datasets.manifest import verify
from search.hardware import probe
from search.hardware.calibration import CalibrationStore, Measurement, calibration_key
from search.hardware.memory import worker_bytes
from search.planning.plan import Plan
from search.planning.resources import allocate_resources
from search.ray_backend.ray_cluster import submit

P = ParamSpec("P")
T = TypeVar("T")


def allocate_gpus(
    plan: Plan, print_line: Callable[[str], object], torch: probe.TorchProcess
) -> Plan:
    """Returns the plan with as many trials on each GPU as fit. Raises `ProbeError` where not even
    one fits. This hasn't been tried on a GPU yet.
    """
    largest = plan.bounds.largest
    each = submit_where_trials_run(plan, torch, probe.measure_gpu, largest).result()
    print_line(f"GPUs       {each:g} of one for each trial, by the peak memory of the largest")
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


def find_measurement(plan: Plan) -> Measurement | None:
    """Returns what was measured of the baseline on this machine before, or `None`.

    Ray decides which node of a cluster measures, so that no stored measurement is known to be from
    that node.
    """
    return None if plan.cluster else _calibrations(plan).find(_key(plan))


def start_measurement(
    plan: Plan, torch: probe.TorchProcess, *, anew: bool
) -> Callable[[], tuple[Measurement, str]]:
    """Starts to measure how fast one trial of the baseline trains, and in which precision faster
    where the options name none. Returns a function that waits for the result: (measurement, reason
    for its precision).

    What was measured before counts, unless `anew` is true. With a GPU only `auto` is resolved, and
    no speed is measured.
    """
    asked = plan.baseline.precision
    words = ["as asked"] if asked != "auto" else []
    before = None if anew else find_measurement(plan)
    if before is not None:
        return lambda: (before, _join(*words, before.describe_rates(), "measured before"))
    if plan.resources.gpus and words:
        return lambda: (Measurement(precision=asked, images_per_s={}), _join(*words))
    future = submit_where_trials_run(
        plan, torch, probe.measure, plan.baseline, plan.resources.threads
    )

    def wait() -> tuple[Measurement, str]:
        measurement = future.result()
        if plan.cluster is None:
            _calibrations(plan).keep(_key(plan), measurement)
        return measurement, _join(*words, measurement.describe_rates()) or "this GPU supports it"

    return wait


def in_precision(
    measurement: Measurement | None, saved: Mapping[str, Any] | None
) -> Measurement | None:
    """Returns the measurement for the precision of the run whose manifest is `saved`, which stays
    as it was chosen when the run began. A new run trains in the measurement's own.
    """
    if measurement is None or saved is None:
        return measurement
    return replace(measurement, precision=str(saved["precision"]))


def _calibrations(plan: Plan) -> CalibrationStore:
    return CalibrationStore(Path(plan.options.out) / ".calibrations.json")


def _key(plan: Plan) -> str:
    return calibration_key(plan.baseline, plan.resources.threads, plan.machine)


def _join(*phrases: str) -> str:
    return ", ".join(filter(None, phrases))


def verify_training_images(data: Path) -> None:
    """Compares the file of training images in `data` with its manifest. Raises `DatasetError` where
    a byte differs.

    For 100,000 images of 64 px this takes a second of one core, while Ray starts, and leaves the
    images in the page cache for the trials. The test images stay closed.
    """
    verify(data, {TRAIN_FILE})
