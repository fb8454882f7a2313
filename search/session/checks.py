"""Checks, before anything starts, what would stop a search before its first trial. A search and a
dry run share these checks, so that neither finds a fault that the other one misses.
"""

import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from common.errors import SearchError, UserError
from common.files import LOCK, describe_full_disk, find_unwritable
from datasets.access import open_search_data
from datasets.manifest import FILE_NAME, read_manifest
from datasets.prepare import inspect, prepare
from datasets.splits import SearchData
from results.analysis.run_records import RunRecords, read_run_records
from results.jsonl import check_regular
from results.store import BEST, MANIFEST, RunError, lock_run
from search.hardware import probe
from search.hardware.gpus import VISIBLE
from search.monitoring.live_page import reserve_page
from search.planning.plan import Plan, size_to_store
from search.ray_backend.local_ray import Dashboard, check_ray, reserve_port
from search.session.backup import make_node_files
from search.session.startup import result_of
from search.study.optuna_journal import journal
from search.study.prior_trials import read_prior_trials
from trainables.catalog import needs_package
from trainables.config import TrialConfig

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class StartChecks:
    """Holds what the checks found: the records of a run that goes on, the socket that reserves the
    dashboard's port (`None` on a cluster), the one that the live page will be served on (`None`
    where none is wanted), the number of training images (`None` while it isn't known), and a phrase
    for each thing that only a search's start can check.
    """

    records: RunRecords | None
    port: socket.socket | None
    page: socket.socket | None
    images: int | None
    later: tuple[str, ...]


def check_start(
    plan: Plan,
    saved: Mapping[str, Any] | None,
    torch: probe.TorchProcess,
    stack: ExitStack,
    *,
    fetch: bool,
) -> StartChecks:
    """Checks the run's folder and records, the ports of dashboard and page, the network and its
    weights, the images, and the places for copies. Raises `SearchError` with one sentence for each
    fault.

    saved: the manifest of the run, if it exists already.
    stack: closes the reserved ports.
    fetch: whether pretrained weights that aren't here are downloaded, as a search does.
    """
    errors: list[str] = []
    if saved and saved.get("precision") == "float16" and not plan.resources.gpus:
        errors.append(
            "A run that trains in float16 must go on on GPUs, because cores are about 90 times "
            "slower in it than in float32, but its trials take none here; go on where there is a "
            "GPU, and without --gpus-per-trial 0."
        )

    if saved and saved.get("precision") == "bfloat16" and plan.resources.gpus:
        errors += _find_emulation(plan)

    def attempt(check: Callable[[], T]) -> T | None:
        try:
            return check()
        except UserError as error:
            errors.extend(error.errors)
        except OSError as error:
            errors.append(why_refused(error, plan.directory))
        return None

    attempt(lambda: check_writable(plan.directory))
    records = None
    if saved is not None:
        records = attempt(lambda: read_writable(plan.directory))
        if plan.options.warm_start:
            attempt(lambda: read_prior_trials(plan.directory))
    dashboard = Dashboard(host=plan.options.dashboard_host, port=plan.options.dashboard_port)
    port = None if plan.cluster else attempt(lambda: stack.enter_context(reserve_port(dashboard)))
    page = attempt(lambda: reserve_page(dashboard.host, plan.options.page_port))
    if page is not None:
        stack.enter_context(page)
    if plan.cluster is None:
        attempt(lambda: check_ray(plan.resources))
    images = attempt(lambda: inspect_images(plan, saved))
    prepared = (plan.data / FILE_NAME).exists()
    if prepared and images is not None:
        attempt(lambda: check_places(plan))
    # Nothing is downloaded for a search that is refused.
    weights_here = attempt(lambda: check_network(plan, torch, fetch=fetch and not errors))
    if errors:
        raise SearchError(list(dict.fromkeys(errors)))
    later = list_later_checks(plan, prepared=prepared, weights_here=bool(weights_here))
    return StartChecks(records=records, port=port, page=page, images=images, later=later)


def _find_emulation(plan: Plan) -> list[str]:
    """Returns a sentence where a run in bfloat16 would train on GPUs that only emulate it."""
    older = plan.machine.older_gpus
    if not older:
        return []
    others = ",".join(gpu.id for gpu in plan.machine.gpus if gpu not in older)
    leave_out = f"leave them out with {VISIBLE}={others}, or " * (not plan.cluster and bool(others))
    return [
        "A run that trains in bfloat16 must go on on GPUs that compute it, but "
        f"{', '.join(gpu.name for gpu in older)} only emulate it; {leave_out}go on on cores with "
        "--gpus-per-trial 0."
    ]


def why_refused(error: OSError, directory: Path) -> str:
    """Returns why a search doesn't begin or go on, with a remedy that fits a run without records
    too.
    """
    full = describe_full_disk(error, directory, begun=(directory / MANIFEST).exists())
    return full or f"The search can't begin ({error}); mend that, then run the same command again."


def read_writable(directory: Path) -> RunRecords:
    """Returns the records of a run that goes on. Raises `RecordError` and `RunError` for damaged
    ones, and for anything but a file in the place of a file that the search writes.
    """
    for path in (journal(directory), directory / BEST):
        check_regular(path, lambda: "move it away")
    return read_run_records(directory)


def check_writable(directory: Path) -> None:
    """Raises `RunError` if the run can't be written now: no permission for the folder, or another
    process that writes the run. Creates nothing.
    """
    if place := find_unwritable(directory):
        raise RunError(
            f"{directory} must be writable, but {place} isn't; make it writable, or choose another "
            "folder with --out."
        )
    if (directory / LOCK).exists():
        lock_run(directory).release()


def check_network(plan: Plan, torch: probe.TorchProcess, *, fetch: bool) -> bool:
    """Checks that the network can be built and has its weights, and returns whether these are here.
    Raises `ProbeError` with a sentence for each configuration that can't be built, and one where
    the process that tries has died.
    """

    def ask(config: TrialConfig) -> bool:
        return torch.submit(probe.check_start, config, fetch=fetch).result()

    here, errors = True, list[str]()
    for config in plan.bounds.starting:
        if config.weights == "none" and not needs_package(config.network):
            continue
        try:
            here &= result_of(partial(ask, config), plan)
        except probe.ProbeError as error:
            errors += error.errors
    if errors:
        raise probe.ProbeError(list(dict.fromkeys(errors)))
    return here


def inspect_images(plan: Plan, saved: Mapping[str, Any] | None) -> int | None:
    """Returns the number of training images, as far as it is known before they are prepared.

    Raises `DatasetError` for a source that can't be prepared, and `SearchError` for images that the
    search can't use.
    """
    prepared = (plan.data / FILE_NAME).exists()
    images = inspect(
        plan.dataset,
        source=source_to_prepare(plan, resuming=saved is not None),
        data=Path(plan.options.data),
        size=size_to_store(plan),
        val=_chosen_val(saved),
    )
    if images is not None:
        fingerprint = read_manifest(plan.data).fingerprint if prepared else None
        check_images(plan, saved, fingerprint, images)
    return images


def source_to_prepare(plan: Plan, *, resuming: bool) -> Path | None:
    """Returns the source in the options. A run that goes on with prepared images needs none."""
    known = resuming and (plan.data / FILE_NAME).exists()
    return Path(plan.options.source) if plan.options.source and not known else None


def check_images(
    plan: Plan, saved: Mapping[str, Any] | None, fingerprint: str | None, images: int
) -> None:
    """Raises `SearchError` where the run began with other images than those with this
    `fingerprint`, or where the largest batch needs more than the `images` training images.
    """
    errors = []
    if saved and fingerprint and fingerprint != saved["dataset"]["fingerprint"]:
        errors.append(
            f"A run must go on with the dataset it began with, but {plan.data} holds other "
            f"images than {plan.name} was started on; name the right folder with --data."
        )
    largest_batch = plan.bounds.batch_size
    if largest_batch > images:
        errors.append(
            f"batch_size must be ≤ the {images} training images, but got "
            f"{largest_batch}; lower it with --set batch_size=N."
        )
    if errors:
        raise SearchError(errors)


def check_places(plan: Plan) -> None:
    """Checks that `--data-uri` holds the prepared images and that `--storage` can be reached.
    Raises `DatasetError` and `OSError`.
    """
    if plan.options.data_uri or plan.options.storage:
        stored = make_node_files(plan, read_manifest(plan.data).fingerprint).stored
        if stored:
            stored.names()


def list_later_checks(plan: Plan, *, prepared: bool, weights_here: bool) -> tuple[str, ...]:
    """Returns a phrase for each thing that only the start of the search itself can check."""
    options = plan.options
    trackers = " and ".join(["MLflow"] * bool(options.mlflow) + ["W&B"] * bool(options.wandb))
    places = bool(options.data_uri or options.storage) and not prepared
    found = [
        (plan.cluster is None, "Ray's start"),
        (not weights_here, "the ImageNet weights, which are downloaded then"),
        (not prepared, "each image, because the dataset is prepared then"),
        (places, "the places of --data-uri and --storage"),
        (bool(trackers), f"the connection to {trackers}"),
    ]
    return tuple(phrase for open_, phrase in found if open_)


def prepare_images(plan: Plan, saved: Mapping[str, Any] | None) -> SearchData:
    """Prepares the dataset of a new run, or of the one whose manifest is `saved`, and returns it.
    Raises `DatasetError`, and `SearchError` for images that this search can't use.
    """
    source = source_to_prepare(plan, resuming=saved is not None)
    prepare(
        plan.dataset,
        source=source,
        data=Path(plan.options.data),
        size=size_to_store(plan),
        val=_chosen_val(saved),
    )
    data = open_search_data(plan.data)
    check_images(plan, saved, data.images.fingerprint, len(data.train))
    return data


def _chosen_val(saved: Mapping[str, Any] | None) -> float | None:
    """Returns the share of train that the run whose manifest is `saved` chose to be val."""
    chosen: float | None = (saved or {}).get("dataset", {}).get("chosen_val")
    return chosen
