"""Every option of a search, declared once: command line, run.yaml, saved run and help."""

import argparse
import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from common.plain_yaml import load_plain
from results.analysis.pareto import sound_objectives
from results.run_hints import unknown
from search.cluster_rules import cluster_rules
from search.config.units import gpu_share, number_of, seconds_of
from search.security import loopback, token_required
from search.tracking_rules import tracking_rules
from trainables.config import TrialConfig


class OptionsError(Exception):
    """Options break rules; `errors` holds one sentence for each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def _option(default: Any, text: str, **extra: Any) -> Any:
    """One option: its default and its line in the help."""
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
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


_LISTS = {"set": "KEY=VALUE", "warm_start": "RUN"}
"""Options that take several values, and what one is called in the help."""


def parser() -> argparse.ArgumentParser:
    """The command line: one flag a field of `Options`, and the actions."""
    made = argparse.ArgumentParser(
        prog="python -m search.run",
        description="Search for the configuration that generalises best.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    made.add_argument("--list", action="store_true", help=ACTIONS["list"])
    made.add_argument("--dry-run", action="store_true", help=ACTIONS["dry_run"])
    made.add_argument("--verbose", action="store_true", help=ACTIONS["verbose"])
    made.add_argument("--quiet", action="store_true", help=ACTIONS["quiet"])
    made.add_argument("--config", metavar="FILE", help=ACTIONS["config"])
    made.add_argument("--resume", metavar="NAME", help=ACTIONS["resume"])
    for f in fields(Options):
        flag, text = "--" + f.name.replace("_", "-"), _help(f)
        if f.name in _LISTS:
            metavar = _LISTS[f.name]
            made.add_argument(flag, nargs="+", action="extend", metavar=metavar, help=text)
        elif f.type is bool:
            made.add_argument(flag, action="store_true", help=text)
        else:
            made.add_argument(flag, metavar=_metavar(f), help=text)
    return made


def _help(f: "dataclasses.Field[Any]") -> str:
    text = str(f.metadata["help"]).replace("%", "%%")
    told = "auto" in str(f.default) or (f.default == 0 and "0:" in text)
    shown = f.default not in ("", (), False) and not told
    return f"{text} (default: {f.default})" if shown else text


def _metavar(f: "dataclasses.Field[Any]") -> str:
    return "N" if f.type is int else "X" if f.type is float else f.name.upper()


def parse(arguments: list[str] | None) -> tuple[dict[str, Any], list[str]]:
    """What the command line gives, by option, and a sentence for each unknown flag."""
    made = parser()
    given, rest = made.parse_known_args(arguments)
    return vars(given), unknown(made, rest)


def resolve(*layers: Mapping[str, Any]) -> tuple[Options, list[str]]:
    """Options from layers of values, later ones winning, and a sentence for each fault.

    Where a value is faulty the option has its default, so that what depends on the others can
    be checked too and every error is reported at once.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        values |= layer
    errors: list[str] = []
    known = {f.name: f for f in fields(Options)}
    for key in [key for key in values if key not in known]:
        close = get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "see --help."
        errors.append(f"{key} is not an option; {hint}")
        del values[key]
    for key, value in list(values.items()):
        try:
            values[key] = _convert(known[key], value)
        except (TypeError, ValueError):
            wanted = {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(
                getattr(known[key].type, "__name__", ""), "text"
            )
            errors.append(f"--{_flag(key)} must be {wanted}, but got {value!r}.")
            del values[key]
    faults = _faults(Options(**values))
    usable = {key: value for key, value in values.items() if key not in faults}
    if "set" in faults:  # what is well formed there is checked all the same
        usable["set"] = tuple(item for item in values["set"] if "=" in item)
    return Options(**usable), [*errors, *(text for texts in faults.values() for text in texts)]


def _flag(key: str) -> str:
    return key.replace("_", "-")


def _convert(f: "dataclasses.Field[Any]", value: Any) -> Any:
    if f.name == "set":
        value = [f"{k}={v}" for k, v in value.items()] if isinstance(value, dict) else value
    if f.name in _LISTS and isinstance(value, list | tuple):
        return tuple(map(str, value))
    truth = isinstance(value, bool)
    if value is None or truth != (f.type is bool) or isinstance(value, list | dict):
        raise TypeError
    if f.name in _LISTS:
        return (str(value),)
    if f.type is int:
        return int(str(value))
    if f.type is bool:
        return value
    return float(value) if f.type is float else str(value)


def _faults(o: Options) -> dict[str, list[str]]:
    """The broken rules of each option that breaks any."""
    rules = [
        (o.space != "", "space", "must be given (`python -m search.run --list` shows the names)"),
        (o.trials >= 1, "trials", "must be ≥ 1"),
        (o.epochs >= 0, "epochs", "must be ≥ 0"),
        (not o.time_budget or (seconds_of(o.time_budget) or 0) > 0, "time_budget",
         "must be a number above 0 with s, m, h or d, e.g. 2h"),
        (o.gpu_hours >= 0 and math.isfinite(o.gpu_hours), "gpu_hours", "must be ≥ 0 and finite"),
        (o.finalists >= 0, "finalists", "must be ≥ 0"),
        (o.finalists <= 0 or "," not in o.objectives, "finalists",
         "must be 0 beside several --objectives, whose front has no single winner"),
        (o.repeats >= 2, "repeats", "must be ≥ 2 (an interval needs two values)"),
        *cluster_rules(o.address, o.data_uri, o.storage),
        *tracking_rules(o.mlflow, o.wandb),
        (o.concurrency == "auto" or number_of(o.concurrency, whole=True) >= 1, "concurrency",
         "must be auto or a whole number ≥ 1"),
        (o.gpus_per_trial == "auto" or gpu_share(o.gpus_per_trial), "gpus_per_trial",
         "must be auto, a share up to 1, or a whole number"),
        (o.seed >= 0, "seed", "must be ≥ 0"),
        (o.precision in ("auto", "float32", "bfloat16"), "precision",
         "must be auto, float32 or bfloat16"),
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
        (re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", o.name or "x") is not None, "name",
         "must be letters, digits, dots, dashes and underscores"),
        (o.dashboard_port == "auto" or 1 <= number_of(o.dashboard_port, whole=True) <= 65535,
         "dashboard_port", "must be auto or a port in 1…65535"),
        (loopback(o.dashboard_host) or token_required(), "dashboard_host",
         "must be 127.0.0.1 while RAY_AUTH_MODE turns Ray's token off (unset it to be reached)"),
    ]  # fmt: skip
    faults: dict[str, list[str]] = {}
    for good, name, rule in rules:
        if not good:
            text = f"--{_flag(name)} {rule}, but got {getattr(o, name)!r}."
            faults.setdefault(name, []).append(text)
    for item in o.set:
        if "=" not in item:
            faults.setdefault("set", []).append(f"--set must be KEY=VALUE, but got {item!r}.")
    return faults


def fixed_fields(options: Options) -> dict[str, Any]:
    """The `TrialConfig` fields that `--set` fixes, as typed values (YAML's rules for scalars)."""
    known = {f.name: f.type for f in fields(TrialConfig)}
    values: dict[str, Any] = {}
    for item in options.set:
        key, _, text = item.partition("=")
        value = _scalar(text)
        wants_float = known.get(key) in (float, float | None)
        # YAML reads 1e-3 as text: its floats need a dot.
        number = number_of(str(value), whole=False) if wants_float else math.nan
        values[key] = value if math.isnan(number) else number
    return values


def _scalar(text: str) -> Any:
    """A value by YAML's rules; the text itself where it isn't YAML."""
    try:
        return load_plain(text) if text else ""
    except ValueError:
        return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The options in a YAML file. Raises `OptionsError` when it can't be read."""
    try:
        value = load_plain(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = str(error).replace("\n", " ")
        raise OptionsError([f"--config {path} can't be read: {said}"]) from error
    if not isinstance(value, dict):
        raise OptionsError([f"--config {path} must hold option: value lines."])
    return {str(key).replace("-", "_"): item for key, item in value.items()}
