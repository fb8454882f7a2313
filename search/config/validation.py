"""Checks options by rules, each with the sentence that reports its violation."""

import math
import re
from importlib.util import find_spec

from common.durations import seconds_of
from common.remote import is_place
from results.analysis.pareto import sound_objectives
from search.config.options import FIDELITIES, SCREENING, SearchOptions, flag_of
from search.config.units import gpu_share, number_of
from search.security import loopback, token_required
from trainables.conditional_fields import MAX_EPOCHS
from trainables.config import MAX_SEED, PRECISIONS

MAX_TRIALS, MAX_REPEATS, MAX_WORKERS = 1_000_000, 1_000, 10_000
"""A search has at most so many trials, finalists or repeats of each, and trials at once."""


def tracking_rules(mlflow: str, wandb: str) -> list[tuple[bool, str, str]]:
    """Returns the rules for the options of trackers, each as (whether it is satisfied, the option's
    name, the rule's words).
    """
    return [
        (not mlflow or is_installed("mlflow"), "mlflow",
         "needs a package that isn't installed (pip install '.[mlflow]')"),
        (not wandb or is_installed("wandb"), "wandb",
         "needs a package that isn't installed (pip install '.[wandb]')"),
        (not mlflow or "://" in mlflow or mlflow == "databricks", "mlflow",
         "must be an address, such as sqlite:///mlflow.db or http://localhost:5000"),
        (re.fullmatch(r"([\w.-]+/)?[\w.-]+", wandb or "x") is not None, "wandb",
         "must be PROJECT or ENTITY/PROJECT"),
    ]  # fmt: skip


def is_installed(package: str) -> bool:
    """Returns whether a package can be imported, without importing it."""
    return find_spec(package) is not None


_PLACE = (
    "must be an absolute path, or a URI without a key in it (keys come from each node's role or "
    "environment, e.g. AWS_ACCESS_KEY_ID)"
)
"""Faulty values of `--data-uri` and `--storage` are reported with this rule, because every node has
to reach the place.
"""
_CLIENT = (
    "must be auto or HOST:PORT of a cluster that this machine is a node of (through Ray Client "
    "Tune would run the search on the head node, away from the run's files: log in there, e.g. by "
    "`ray attach cluster.yaml`, and use auto)"
)
"""A `ray://` address is reported with this rule, which explains why Ray Client isn't supported."""
_ADDRESS = re.compile(r"auto|[^\s/]+:\d{1,5}")
"""The option `--address` accepts `auto` and HOST:PORT, as this pattern states."""


def cluster_rules(address: str, data_uri: str, storage: str) -> list[tuple[bool, str, str]]:
    """Returns the rules for the options of clusters, each as (whether it is satisfied, the option's
    name, the rule's words).
    """
    client = address.startswith("ray://")
    return [
        (not client, "address", _CLIENT),
        (not address or client or _ADDRESS.fullmatch(address) is not None, "address",
         "must be auto or HOST:PORT"),
        (not data_uri or is_place(data_uri), "data_uri", _PLACE),
        (not storage or is_place(storage), "storage", _PLACE),
    ]  # fmt: skip


def find_faults(o: SearchOptions) -> dict[str, list[str]]:
    """Returns one sentence for each violated rule, by the name of the option."""
    rules = [
        (o.space != "", "space", "must be given (`python -m search.run --list` shows the names)"),
        (1 <= o.trials <= MAX_TRIALS, "trials", f"must lie in 1…{MAX_TRIALS}"),
        (0 <= o.epochs <= MAX_EPOCHS, "epochs", f"must lie in 0…{MAX_EPOCHS}"),
        (not o.time_budget or (seconds_of(o.time_budget) or 0) > 0, "time_budget",
         "must be a number above 0 with s, m, h or d, e.g. 1h30m"),
        (o.gpu_hours >= 0 and math.isfinite(o.gpu_hours), "gpu_hours", "must be ≥ 0 and finite"),
        (0 <= o.min_gain < 1, "min_gain", "must be ≥ 0 and below 1"),
        (not o.min_gain or "," not in o.objectives, "min_gain",
         "must be 0 beside several --objectives, whose front gains in more than val_top1"),
        (0 <= o.finalists <= MAX_REPEATS, "finalists", f"must lie in 0…{MAX_REPEATS}"),
        (o.finalists <= 0 or "," not in o.objectives, "finalists",
         "must be 0 beside several --objectives, whose front has no single winner"),
        (2 <= o.repeats <= MAX_REPEATS, "repeats",
         f"must lie in 2…{MAX_REPEATS} (an interval needs two values)"),
        *cluster_rules(o.address, o.data_uri, o.storage),
        *tracking_rules(o.mlflow, o.wandb),
        (o.concurrency == "auto" or 1 <= number_of(o.concurrency, whole=True) <= MAX_WORKERS,
         "concurrency", f"must be auto or a whole number in 1…{MAX_WORKERS}"),
        (o.gpus_per_trial == "auto" or gpu_share(o.gpus_per_trial), "gpus_per_trial",
         "must be auto, 0 for cores, or a share in 0.0001…1 (no training runs on two GPUs)"),
        (0 <= o.seed <= MAX_SEED, "seed", f"must lie in 0…{MAX_SEED}"),
        (o.precision in PRECISIONS, "precision", "must be auto, float32, bfloat16 or float16"),
        (o.fidelity in FIDELITIES, "fidelity", "must be epochs or screening"),
        (o.fidelity != SCREENING or "," not in o.objectives, "fidelity",
         "must be epochs beside several --objectives, of which short trainings show only one"),
        (o.grace >= 0, "grace", "must be ≥ 0"),
        (o.reduction_factor >= 2, "reduction_factor", "must be ≥ 2"),
        (sound_objectives(o.objectives), "objectives",
         "must be val_top1, alone or followed by latency_ms, parameters_m or both after commas"),
        (0 <= o.max_gap <= 1, "max_gap", "must lie in 0…1"),
        (o.gap_patience >= 1, "gap_patience", "must be ≥ 1"),
        (o.plateau_patience >= 0, "plateau_patience", "must be ≥ 0"),
        (o.stall_timeout == "0" or (seconds_of(o.stall_timeout) or 0) > 0, "stall_timeout",
         "must be 0, or a number above 0 with s, m, h or d, e.g. 30m"),
        (len(set(o.warm_start)) == len(o.warm_start), "warm_start", "must name each run once"),
        (not o.warm_start or "," not in o.objectives, "warm_start",
         "must be left out beside several --objectives, for which earlier trials teach nothing"),
        (re.fullmatch(r"[^-./\s][^/\x00-\x1f\x7f]*", o.name or "x") is not None, "name",
         "must be a folder's name, without slashes, and must not begin with a dot, dash or blank"),
        (o.dashboard_port == "auto" or 1 <= number_of(o.dashboard_port, whole=True) <= 65535,
         "dashboard_port", "must be auto or a port in 1…65535"),
        (o.page_port == "auto" or 0 <= number_of(o.page_port, whole=True) <= 65535,
         "page_port", "must be auto, a port in 1…65535, or 0"),
        (loopback(o.dashboard_host) or token_required(), "dashboard_host",
         "must be 127.0.0.1 while RAY_AUTH_MODE turns Ray's token off (unset it to be reached)"),
    ]  # fmt: skip
    faults: dict[str, list[str]] = {}
    for good, name, rule in rules:
        if not good:
            text = f"--{flag_of(name)} {rule}, but got {getattr(o, name)!r}."
            faults.setdefault(name, []).append(text)
    for item in o.set:
        if "=" not in item:
            faults.setdefault("set", []).append(f"--set must be KEY=VALUE, but got {item!r}.")
    return faults
