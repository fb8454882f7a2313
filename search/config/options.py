"""Declares every option of a search once, for the command line, run.yaml, the saved run and the
help.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import UserError


class OptionsError(UserError):
    """Reports options that break rules; `errors` holds one sentence for each fault."""


SEARCH, BUDGET, EARLY_STOPPING = "Search", "Budget", "Early stopping"
HARDWARE, CLUSTER, MONITORING = "Hardware", "Cluster", "Monitoring"
GROUPS = (SEARCH, BUDGET, EARLY_STOPPING, HARDWARE, CLUSTER, MONITORING)
"""The help of `search.run` lists the options under these six headings, in this order."""


FIDELITIES = EPOCHS, SCREENING = ("epochs", "screening")
"""Trials are compared by epochs alone, or short trainings of many configurations precede them."""


def _option(default: Any, group: str, metavar: str, text: str) -> Any:
    """Declares an option: its default, its group, what stands for its value in the help, and its
    help text. A switch, which takes no value, has an empty `metavar`.
    """
    return field(default=default, metadata={"help": text, "group": group, "metavar": metavar})


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """Holds the options of a search. The text values `auto` and "" leave the decision to the
    search.
    """

    space: str = _option(
        "", SEARCH, "SPACE", "what to search: a name (see --list) or a Python file"
    )
    dataset: str = _option("", SEARCH, "DATASET", "dataset name (default: the space's)")
    source: str = _option("", SEARCH, "PATH", "archive or folder to make the dataset from")
    data: str = _option("data", SEARCH, "DIR", "folder of the prepared datasets")
    trials: int = _option(
        32,
        BUDGET,
        "N",
        "how many configurations are tried, the baseline included; +N more with --resume",
    )
    epochs: int = _option(
        0,
        BUDGET,
        "N",
        "epochs of a full training (0: the baseline's); more than before with --resume",
    )
    time_budget: str = _option(
        "", BUDGET, "DURATION", "stop after this time, e.g. 90s, 45m, 1h30m, 1d (default: none)"
    )
    gpu_hours: float = _option(
        0.0, BUDGET, "HOURS", "stop when GPUs were held for so many hours (0: no limit)"
    )
    min_gain: float = _option(
        0.0,
        BUDGET,
        "FRACTION",
        "stop when another GPU- or core-hour would gain less val_top1, e.g. 0.002 (0: never)",
    )
    finalists: int = _option(
        0,
        BUDGET,
        "N",
        "retrain this many of the best trials, and the baseline, with fresh seeds (0: none)",
    )
    repeats: int = _option(3, BUDGET, "N", "trainings of each finalist")
    address: str = _option(
        "",
        CLUSTER,
        "HOST:PORT",
        "Ray cluster to run on: auto or HOST:PORT (default: Ray starts here)",
    )
    data_uri: str = _option(
        "", CLUSTER, "URI", "copies of --data, for nodes that lack it (default: through Ray)"
    )
    storage: str = _option(
        "", CLUSTER, "URI", "shared path or URI for checkpoints and records (default: none)"
    )
    concurrency: str = _option("auto", HARDWARE, "N", "trials at the same time: auto or a number")
    gpus_per_trial: str = _option(
        "auto",
        HARDWARE,
        "SHARE",
        "GPU share of a trial: auto, or a number up to 1, e.g. 0.5; 0: cores",
    )
    weights: str = _option(
        "", SEARCH, "WEIGHTS", "none, imagenet, or a state-dict file (default: the space's)"
    )
    precision: str = _option(
        "auto", HARDWARE, "PRECISION", "auto (measured once a study), float32, bfloat16 or float16"
    )
    deterministic: bool = _option(
        False, HARDWARE, "", "request algorithms that repeat their numbers on GPUs, as CPUs do"
    )
    seed: int = _option(0, SEARCH, "N", "seed of proposals and training")
    fidelity: str = _option(
        EPOCHS,
        SEARCH,
        "KIND",
        "epochs, or screening: short trainings of many configurations come before the trials",
    )
    grace: int = _option(
        0,
        EARLY_STOPPING,
        "EPOCHS",
        "first rung, in epochs (0: a twentieth of --epochs, 3 at the least)",
    )
    reduction_factor: int = _option(3, EARLY_STOPPING, "N", "the top 1/N of the trials pass a rung")
    objectives: str = _option(
        "val_top1", SEARCH, "METRICS", "val_top1, or with latency_ms, parameters_m after commas"
    )
    max_gap: float = _option(
        0.05, EARLY_STOPPING, "FRACTION", "gap from which a trial counts as overfitting (0: never)"
    )
    gap_patience: int = _option(
        5,
        EARLY_STOPPING,
        "EPOCHS",
        "epochs with such a gap and no better val_top1 before a trial is stopped",
    )
    plateau_patience: int = _option(
        0, EARLY_STOPPING, "EPOCHS", "epochs without progress before a trial is stopped (0: never)"
    )
    stall_timeout: str = _option(
        "10m",
        EARLY_STOPPING,
        "DURATION",
        "a trial hangs if it reports nothing for this time, and for 10 of its epochs (0: never)",
    )
    set: tuple[str, ...] = _option(
        (), SEARCH, "KEY=VALUE", "fix a field for all trials, e.g. --set batch_size=32"
    )
    warm_start: tuple[str, ...] = _option(
        (),
        SEARCH,
        "RUN",
        "earlier runs: their best trials are tried first, and the sampler learns from all of them",
    )
    name: str = _option("", SEARCH, "NAME", "name of the run (default: the space and the time)")
    out: str = _option("runs", SEARCH, "DIR", "folder of the runs")
    dashboard_host: str = _option(
        "127.0.0.1", MONITORING, "HOST", "address that Ray's dashboard and the live page listen on"
    )
    dashboard_port: str = _option(
        "auto", MONITORING, "PORT", "port of Ray's dashboard: auto (from 8265 up) or a number"
    )
    page_port: str = _option(
        "auto", MONITORING, "PORT", "port of the search's live page: auto, a number, or 0 for none"
    )
    tensorboard: bool = _option(
        False, MONITORING, "", "write TensorBoard's event files too, one folder a trial"
    )
    mlflow: str = _option(
        "", MONITORING, "URI", "MLflow server or store that trials are logged to (default: none)"
    )
    wandb: str = _option(
        "",
        MONITORING,
        "PROJECT",
        "Weights & Biases project that trials are logged to (default: none)",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """Describes a command-line option that isn't recorded with a run, and its entry in the help.

    An action without a `metavar` is a switch.
    """

    group: str
    text: str
    metavar: str = ""


ACTIONS: Mapping[str, Action] = {
    "list": Action(group=SEARCH, text="list the spaces"),
    "dry_run": Action(
        group=SEARCH,
        text="check what a search checks, and show what it would do, but start nothing",
    ),
    "measure": Action(
        group=HARDWARE,
        text="measure anew how fast this machine trains the baseline; beside --dry-run too",
    ),
    "config": Action(
        group=SEARCH,
        metavar="FILE",
        text="read options from a YAML file; the command line wins, in --set field by field",
    ),
    "resume": Action(
        group=SEARCH, metavar="NAME", text="resume this run: its name under --out, or its folder"
    ),
    "resume_or_start": Action(
        group=SEARCH,
        metavar="NAME",
        text="resume this run, or start it where there is none: for jobs that are queued again",
    ),
    "accept_space": Action(
        group=SEARCH,
        text="with --resume: go on although the space's ranges have changed",
    ),
    "on_end": Action(
        group=MONITORING,
        metavar="CMD",
        text="run this shell command when the search has ended, was interrupted or has failed; it "
        "has 60 s",
    ),
    "on_best": Action(
        group=MONITORING,
        metavar="CMD",
        text="run this shell command when a trial ends better than all before; it has 60 s, also "
        "where the search ends meanwhile",
    ),
    "verbose": Action(
        group=MONITORING,
        text="print every event, and where the time before the first optimizer step goes",
    ),
    "quiet": Action(group=MONITORING, text="print nothing but what goes wrong, and the summary"),
}
"""These options of the command line state what to do rather than what to search. Therefore they
aren't saved with a run. Neither are commands to run, which whoever resumes a run must have typed.
"""

RESUMABLE = ("space", "weights", "source", "trials", "epochs", "time_budget", "gpu_hours",
             "min_gain", "finalists", "repeats", "address", "data_uri", "storage", "concurrency",
             "gpus_per_trial", "stall_timeout", "dashboard_host", "dashboard_port", "page_port",
             "tensorboard", "mlflow", "wandb", "data", "out")  # fmt: skip
"""These options may change when a run is resumed. All others decide its results and stay as they
were. A space and a file of weights may be elsewhere, but their content must be the same.
"""


def flag_of(key: str) -> str:
    """Returns the name of an option as the command line spells it, without the leading dashes."""
    return key.replace("_", "-")
