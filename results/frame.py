"""A run directory as tidy pandas tables: a row an observation, a column a variable.

`trials` and `epochs` join by their column `trial`: `epochs(run).merge(trials(run), on="trial",
suffixes=("", "_trial"))`. Each table has these columns in this order whatever is in the run, also
where it has no row yet.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from results.finalist_store import read_finalists
from results.records import StopReason, TrialState
from results.store import read_epochs, read_manifest, read_standings

T = TypeVar("T")


class Column(NamedTuple):
    """What a column holds; `unit` is empty for what has none. Where `dtype` is float64, string,
    Int64, boolean or category, a value may be missing.
    """

    dtype: str
    unit: str
    text: str


_STATE = Column("category", "", ", ".join(TrialState))
_REASON = Column("category", "", "why it ended early: " + ", ".join(StopReason))
_DETAIL = Column("string", "", "the same in words, or the error of one that failed")
_TRIAL = Column("int64", "", "the trial's number; the first baseline is 0")

TRIALS: Mapping[str, Column] = {
    "trial": _TRIAL,
    "state": _STATE,
    "reason": _REASON,
    "detail": _DETAIL,
    "retried": Column("string", "", "why training broke off once and was tried again"),
    "epochs": Column("int64", "epochs", "how many are trained, so far where it is running"),
    "epochs_planned": Column("Int64", "epochs", "how long its learning-rate schedule is"),
    "best_epoch": Column("Int64", "", "the first epoch with the highest val_top1, from 1"),
    "best_val_top1": Column("float64", "fraction", "val_top1 there"),
    "wall_s": Column("float64", "s", "all its epochs, with their evaluation"),
    "latency_ms": Column("float64", "ms", "one image's inference; with several objectives only"),
    "parameters_m": Column("float64", "10⁶", "the network's parameters; likewise"),
}
"""The columns of `trials`, after which come those of the parameters."""

PARAMS = Column(
    "by kind", "",
    "chosen for NAME: boolean, Int64, float64, else string; missing where it had none",
)  # fmt: skip
"""A column `params.NAME` for each parameter of any trial, in the order of their first use."""

EPOCHS: Mapping[str, Column] = {
    "trial": _TRIAL,
    "epoch": Column("int64", "", "from 1"),
    "train_loss": Column("float64", "", "mean over the augmented batches; missing: not finite"),
    "train_top1": Column("float64", "fraction", "on clean training images, in evaluation mode"),
    "val_loss": Column("float64", "", "missing: not finite"),
    "val_top1": Column("float64", "fraction", "what the search decides on"),
    "val_top5": Column("float64", "fraction", "the right class is among the first five"),
    "gap": Column("float64", "fraction", "train_top1 - val_top1"),
    "lr": Column("float64", "", "learning rate at the epoch's end"),
    "images_per_s": Column("float64", "images/s", "trained images against train_s"),
    "train_s": Column("float64", "s", "training alone"),
    "wall_s": Column("float64", "s", "the whole epoch, with its evaluation"),
    "peak_memory_bytes": Column("int64", "bytes", "the most that was in use"),
    "start_s": Column("float64", "s", "to the first optimizer step, the network's building too"),
    "idle_s": Column("float64", "s", "how long the worker waited for the search before it"),
    "loading_s": Column("float64", "s", "part of train_s that waited for images; missing: unknown"),
}
"""The columns of `epochs`."""

FINALISTS: Mapping[str, Column] = {
    "trial": Column("int64", "", "the trial whose configuration is trained again"),
    "repeat": Column("int64", "", "which of its trainings, from 1"),
    "seed": Column("Int64", "", "the same for all finalists in the same repeat"),
    "state": _STATE,
    "reason": _REASON,
    "detail": _DETAIL,
    "epochs": Column("int64", "epochs", "how many are trained"),
    "val_top1": Column("float64", "fraction", "the last epoch's; missing: not complete"),
    "wall_s": Column("float64", "s", "all its epochs, with their evaluation"),
}
"""The columns of `finalists`."""

_CATEGORIES: Mapping[str, type[StrEnum]] = {"state": TrialState, "reason": StopReason}


def trials(run: str | Path) -> pd.DataFrame:
    """One row a trial, by number, unfinished ones as far as they have come.

    The columns are those of `TRIALS`, then a `params.NAME` for each parameter (`PARAMS`). Raises
    `RunError` where `run` is none, and `RecordError` naming a line that is damaged.
    """
    records = sorted(_read(run, read_standings).values(), key=lambda record: record.number)
    rows = [
        asdict(r) | {"trial": r.number, "epochs_planned": _whole(r.config, "epochs")}
        for r in records
    ]
    params = [record.params for record in records]
    names = dict.fromkeys(name for each in params for name in each)
    chosen = {f"params.{name}": _chosen([each.get(name) for each in params]) for name in names}
    return pd.concat([_table(rows, TRIALS), pd.DataFrame(chosen)], axis=1)


def epochs(run: str | Path) -> pd.DataFrame:
    """One row a trial and epoch, in the order of recording, with the columns of `EPOCHS`.

    Raises `RunError` where `run` is none, and `RecordError` naming a line that is damaged.
    """
    recorded = _read(run, read_epochs)
    return _table([{"trial": trial, **asdict(metrics)} for trial, metrics in recorded], EPOCHS)


def finalists(run: str | Path) -> pd.DataFrame:
    """One row a training of a finalist, in the order of planning, with the columns of `FINALISTS`.

    Raises `RunError` where `run` is none, and `RecordError` naming a line that is damaged.
    """
    records = _read(run, read_finalists).values()
    return _table([asdict(r) | {"seed": _whole(r.config, "seed")} for r in records], FINALISTS)


def _read(run: str | Path, read: Callable[[Path], T]) -> T:
    """What `read` gives of a folder that is a run: without records it would be an empty one."""
    read_manifest(Path(run))
    return read(Path(run))


def _whole(config: Mapping[str, Any], name: str) -> int | None:
    """A whole number of a configuration, which any version of the project may have written."""
    return value if type(value := config.get(name)) is int else None


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: pd.Series([row[name] for row in rows], dtype=_dtype(name, column))
            for name, column in columns.items()
        }
    )


def _dtype(name: str, column: Column) -> Any:
    kinds = _CATEGORIES.get(name)
    return pd.CategoricalDtype([str(kind) for kind in kinds]) if kinds else column.dtype


def _chosen(values: Sequence[object]) -> "pd.Series[Any]":
    """A parameter's values: by their kind, or where they are of several kinds as text."""
    kinds = {type(value) for value in values if value is not None}
    for fitting, dtype in (({bool}, "boolean"), ({int}, "Int64"), ({int, float}, "float64")):
        if kinds and kinds <= fitting:
            return pd.Series(list(values), dtype=dtype)
    return pd.Series([None if v is None else str(v) for v in values], dtype="string")


def _described(columns: Iterable[tuple[str, Column]]) -> str:
    return "\n".join(
        f"    {name:17} {column.dtype:8} {column.unit:8} {column.text}" for name, column in columns
    )


__doc__ += f"""
trials, one row a trial (column, dtype, unit, meaning):

{_described([*TRIALS.items(), ("params.NAME", PARAMS)])}

epochs, one row a trial and epoch:

{_described(EPOCHS.items())}

finalists, one row a training of a finalist:

{_described(FINALISTS.items())}
"""
