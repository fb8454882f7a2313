"""Every option of a search, declared once: command line, run.yaml, saved run and help."""

from dataclasses import dataclass, field
from typing import Any

from common.errors import UserError


class OptionsError(UserError):
    """Options break rules; `errors` holds one sentence for each."""


def _option(default: Any, text: str, **extra: Any) -> Any:
    """One option: its default and its line in the help."""
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """What a search can be told. The text values `auto` and "" mean: decided by the search."""

    space: str = _option("", "what to search: a name (see --list) or a Python file")
    dataset: str = _option("", "dataset name (default: the space's)")
    source: str = _option("", "archive or folder to make the dataset from")
    data: str = _option("data", "where prepared datasets lie")
    trials: int = _option(
        32, "how many configurations are tried, the baseline included; +N more with --resume"
    )
    epochs: int = _option(
        0, "epochs of a full training (0: the baseline's); more than before with --resume"
    )
    time_budget: str = _option("", "stop after this time, e.g. 90s, 45m, 2h, 1d (default: none)")
    gpu_hours: float = _option(0.0, "stop after so many GPU-hours of training (0: no limit)")
    finalists: int = _option(
        0, "train so many of the best trials, and the baseline, again (0: none)"
    )
    repeats: int = _option(3, "trainings of each finalist, with fresh seeds")
    address: str = _option(
        "", "Ray cluster to run on: auto or HOST:PORT (default: Ray starts here)"
    )
    data_uri: str = _option("", "copies of --data, for nodes that lack it (default: through Ray)")
    storage: str = _option("", "shared path or URI for checkpoints and records (default: none)")
    concurrency: str = _option("auto", "trials at the same time: auto or a number")
    gpus_per_trial: str = _option("auto", "GPU share of a trial: auto or a number, e.g. 0.5")
    weights: str = _option("", "none, imagenet, or a state-dict file (default: the space's)")
    precision: str = _option("auto", "auto (measured once a study), float32 or bfloat16")
    seed: int = _option(0, "seed of proposals and training")
    grace: int = _option(0, "first rung, in epochs (0: a twentieth of --epochs, 3 at the least)")
    reduction_factor: int = _option(3, "the top 1/N of the trials pass a rung")
    objectives: str = _option("val_top1", "val_top1, or with latency_ms, parameters_m after commas")
    max_gap: float = _option(0.05, "gap from which a trial counts as overfitting (0: never)")
    gap_patience: int = _option(5, "epochs of that gap, and of no better val_top1, before it stops")
    plateau_patience: int = _option(0, "epochs without progress before a plateau stops (0: never)")
    stall_timeout: str = _option(
        "10m",
        "a trial that reports nothing for so long, and for 10 of its epochs, hangs (0: never)",
    )
    set: tuple[str, ...] = _option((), "fix a field for all trials, e.g. --set batch_size=32")
    warm_start: tuple[str, ...] = _option(
        (), "folders of earlier runs: their best are tried first, their trials teach the sampler"
    )
    name: str = _option("", "name of the run (default: the space and the time)")
    out: str = _option("runs", "where runs are written")
    dashboard_host: str = _option("127.0.0.1", "address that the Ray dashboard listens on")
    dashboard_port: str = _option(
        "auto", "port of Ray's dashboard: auto (from 8265 up) or a number"
    )
    tensorboard: bool = _option(False, "write TensorBoard's event files too, one folder a trial")
    mlflow: str = _option("", "MLflow server or store that trials are logged to (default: none)")
    wandb: str = _option("", "Weights & Biases project that trials are logged to (default: none)")


ACTIONS = {
    "config": "read options from a YAML file; the command line wins",
    "resume": "go on with this run (its name under --out)",
    "dry_run": "show what would be done, without starting anything",
    "list": "list the spaces",
    "verbose": "print every event, and where the time before the first optimizer step goes",
    "quiet": "print nothing but what goes wrong, and the summary",
}
"""What isn't part of a run's description and so isn't saved with it."""

RESUMABLE = ("source", "trials", "epochs", "time_budget", "gpu_hours", "finalists", "repeats",
             "address", "data_uri", "storage", "concurrency", "gpus_per_trial", "stall_timeout",
             "dashboard_host", "dashboard_port", "tensorboard", "mlflow", "wandb", "data",
             "out")  # fmt: skip
"""Options that may change when a run goes on; the others decide its results."""


def flag_of(key: str) -> str:
    return key.replace("_", "-")
