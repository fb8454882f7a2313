"""Measures and checks what a search needs to know before its first trial."""

from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from datasets.access import TRAIN_FILE
from datasets.manifest import verify
from search.hardware import probe
from search.hardware.calibration import (
    CalibrationStore,
    Measurement,
    calibration_key,
)
from search.planning.plan import Plan
from search.ray_backend.ray_cluster import submit

P = ParamSpec("P")
T = TypeVar("T")


def torch_process(plan: Plan) -> probe.TorchProcess:
    """Returns the process that measures on this machine. It sees the GPU with the most free memory,
    and none where trials train on cores.
    """
    gpus = plan.gpus
    return probe.TorchProcess(max(gpus, key=lambda gpu: gpu.free_bytes).id if gpus else "")


def ask_gpu(
    plan: Plan, torch: probe.TorchProcess, function: Callable[P, T], *args: P.args, **kw: P.kwargs
) -> T:
    """Calls `function` where trials will run, and returns its result. Raises `ProbeError` where its
    process dies.
    """
    return result_of(
        lambda: submit_where_trials_run(plan, torch, function, *args, **kw).result(), plan
    )


def result_of(ask: Callable[[], T], plan: Plan) -> T:
    """Returns what `ask` returns, which asks another process. Raises `ProbeError` where that one
    dies, or has died before.
    """
    try:
        return ask()
    except BrokenExecutor as error:
        there, place, why = "", "here", ""
        if not isinstance(error, BrokenProcessPool):
            there, place, why = " of its node", "on a node of the cluster", f" ({error})"
        remedy = "the reason, and free memory if that is it"
        if plan.resources.per_gpu:
            place = "on a GPU of the cluster" if there else "on the GPU"
            remedy = "the driver's reason, or train on cores with --gpus-per-trial 0"
        raise probe.ProbeError(
            f"A process must be able to train {place}, but the one that tried has died"
            f"{why}; see `dmesg`{there} for {remedy}."
        ) from error


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
    return None if plan.cluster else open_calibrations(plan).find(_key(plan))


def start_measurement(
    plan: Plan, torch: probe.TorchProcess, *, anew: bool
) -> Callable[[], tuple[Measurement, str]]:
    """Starts to measure how fast one trial of the baseline trains, and in which precision faster
    where the options name none. Returns a function that waits for the result: (measurement, reason
    for its precision). It raises `ProbeError` where the process that measures dies.

    What was measured before counts, unless `anew` is true.
    """
    asked = plan.baseline.precision
    words = ["as asked"] if asked != "auto" else []
    words += [f"of {plan.baseline.network}"] if plan.bounds.usual else []
    before = None if anew else find_measurement(plan)
    if before is not None:
        return lambda: (before, _join(*words, _describe(before, asked), "measured before"))
    older = plan.resources.per_gpu and plan.machine.older_gpus
    half = "float16" if older else None  # one precision for all GPUs, of which one is measured
    future = submit_where_trials_run(
        plan, torch, probe.measure, plan.baseline, plan.resources.threads, half
    )

    @cache
    def wait() -> tuple[Measurement, str]:
        measurement = result_of(future.result, plan)
        if plan.cluster is None:
            open_calibrations(plan).keep(_key(plan), measurement)
        why = _join(*words, _describe(measurement, asked))
        return measurement, why or "a batch doesn't fit in float32"

    return wait


def _describe(measurement: Measurement, asked: str) -> str:
    """Returns the measured rates in words, and why one alone was measured where none was `asked`
    for.
    """
    alone = asked == "auto" and list(measurement.images_per_s) == ["float32"]
    return measurement.describe_rates() + ", and this CPU only emulates bfloat16" * alone


def in_precision(
    measurement: Measurement | None, saved: Mapping[str, Any] | None
) -> Measurement | None:
    """Returns the measurement for the precision of the run whose manifest is `saved`, which stays
    as it was chosen when the run began. A new run trains in the measurement's own.
    """
    if measurement is None or saved is None:
        return measurement
    return replace(measurement, precision=str(saved["precision"]))


def open_calibrations(plan: Plan) -> CalibrationStore:
    """Returns the store of what was measured on this machine, in the folder of the runs."""
    return CalibrationStore(Path(plan.options.out) / ".calibrations.json")


def _key(plan: Plan) -> str:
    return calibration_key(plan.baseline, plan.resources.threads, plan.gpus)


def _join(*phrases: str) -> str:
    return ", ".join(filter(None, phrases))


def verify_training_images(data: Path) -> None:
    """Compares the file of training images in `data` with its manifest. Raises `DatasetError` where
    a byte differs.

    For 100,000 images of 64 px this takes a second of one core, while Ray starts, and leaves the
    images in the page cache for the trials. The test images stay closed.
    """
    verify(data, {TRAIN_FILE})
