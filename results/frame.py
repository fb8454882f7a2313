"""Reads a run directory as tidy pandas tables: each row is an observation and each column a
variable.

`trials` and `epochs` join by their column `trial`: `epochs(run).merge(trials(run), on="trial",
suffixes=("", "_trial"))`. Each table has the columns below in this order, whatever the run contains
and also when the table has no rows yet.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from results.analysis.run_records import RunRecords, read_run_records
from results.records import ScreeningRecord, StopReason, TrialRecord, TrialState


class Column(NamedTuple):
    """Describes a table's column: its dtype, its unit (empty for a quantity without one), and its
    meaning. A value may be missing where `dtype` is float64, string, Int64, boolean or category.
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
    "last_val_top1": Column("float64", "fraction", "val_top1 after the latest; ranks the trials"),
    "best_epoch": Column("Int64", "", "the first epoch with the highest val_top1, from 1"),
    "best_val_top1": Column("float64", "fraction", "val_top1 there"),
    "wall_s": Column("float64", "s", "all its epochs, with their evaluation"),
    "latency_ms": Column("float64", "ms", "one image's inference; with several objectives only"),
    "parameters_m": Column("float64", "10⁶", "the network's parameters; likewise"),
    "by_hand": Column("boolean", "", "whether a user asked for it while the search ran"),
}
"""The table `trials` begins with these columns; those of the parameters follow."""

PARAMS = Column(
    "by kind", "",
    "chosen for NAME: boolean, Int64, float64, else string; missing where it had none",
)  # fmt: skip
"""The table `trials` has a column `params.NAME` of this description for each parameter of any
trial, in the order of their first use.
"""

EPOCHS: Mapping[str, Column] = {
    "trial": _TRIAL,
    "epoch": Column("int64", "", "from 1"),
    "train_loss": Column("float64", "", "mean over the augmented batches; missing: not finite"),
    "train_top1": Column("float64", "fraction", "on clean training images, in evaluation mode"),
    "val_loss": Column("float64", "", "missing: not finite"),
    "val_top1": Column("float64", "fraction", "what the search decides on"),
    "val_top5": Column("float64", "fraction", "the right class is among the first five"),
    "val_probability": Column("float64", "fraction", "of the right class, calibrated; a mean"),
    "gap": Column("float64", "fraction", "train_top1 - val_top1"),
    "lr": Column("float64", "", "learning rate at the epoch's end"),
    "images_per_s": Column("float64", "images/s", "trained images against train_s"),
    "train_s": Column("float64", "s", "training alone"),
    "wall_s": Column("float64", "s", "the whole epoch, with its evaluation"),
    "peak_memory_bytes": Column("int64", "bytes", "the most that was in use"),
    "start_s": Column("float64", "s", "to the first optimizer step, the network's building too"),
    "idle_s": Column("float64", "s", "how long the worker waited for the search before it"),
    "loading_s": Column("float64", "s", "part of train_s that waited for images; missing: unknown"),
    "skipped_steps": Column("int64", "", "steps without effect: a gradient overflowed"),
}
"""The table `epochs` has these columns in this order."""

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
"""The table `finalists` has these columns in this order."""

SCREENING: Mapping[str, Column] = {
    "number": Column("int64", "", "which of the short trainings, from 0, the baseline"),
    "state": _STATE,
    "reason": _REASON,
    "detail": _DETAIL,
    "epochs": Column("int64", "epochs", "how many are trained"),
    "images": Column("float64", "fraction", "share of the training images of each class"),
    "image_size": Column("Int64", "px", "side of the images, smaller than a trial's"),
    "val_top1": Column("float64", "fraction", "the last epoch's; missing: not complete"),
    "wall_s": Column("float64", "s", "all its epochs, with their evaluation"),
}
"""The table `screening` begins with these columns; those of the parameters follow."""

_CATEGORIES: Mapping[str, type[StrEnum]] = {"state": TrialState, "reason": StopReason}
"""The categories of these two columns are all values of the enumeration."""


def trials(run: str | Path) -> pd.DataFrame:
    """Returns a table with one row for each trial, sorted by number; an unfinished trial's row
    shows what it has reached so far.

    The columns are those of `TRIALS`, followed by a `params.NAME` for each parameter (`PARAMS`).
    Raises `RunError` where `run` isn't a run, and `RecordError` naming a damaged line.
    """
    read = _read(run)
    records = sorted(read.standings().values(), key=lambda record: record.number)
    asked = read.by_hand()
    added: dict[str, Sequence[object]] = {
        "trial": [record.number for record in records],
        "epochs_planned": [_whole(record.config, "epochs") for record in records],
        "by_hand": [record.number in asked for record in records],
    }
    return pd.concat([_table(records, TRIALS, added), _params(records)], axis=1)


def epochs(run: str | Path) -> pd.DataFrame:
    """Returns a table with one row for each epoch of each trial, in the order of recording. The
    columns are those of `EPOCHS`.

    Raises `RunError` where `run` isn't a run, and `RecordError` naming a damaged line.
    """
    recorded = _read(run).recorded
    trial = [number for number, _ in recorded]
    return _table([metrics for _, metrics in recorded], EPOCHS, {"trial": trial})


def finalists(run: str | Path) -> pd.DataFrame:
    """Returns a table with one row for each training of a finalist, in the order of planning. The
    columns are those of `FINALISTS`.

    Raises `RunError` where `run` isn't a run, and `RecordError` naming a damaged line.
    """
    records = list(_read(run).finalists.values())
    seeds = [_whole(record.config, "seed") for record in records]
    return _table(records, FINALISTS, {"seed": seeds})


def screening(run: str | Path) -> pd.DataFrame:
    """Returns a table with one row for each short training before the trials, by number.

    The columns are those of `SCREENING`, followed by a `params.NAME` for each parameter (`PARAMS`).
    Raises `RunError` where `run` isn't a run, and `RecordError` naming a damaged line.
    """
    records = sorted(_read(run).screening.values(), key=lambda record: record.number)
    sizes = [_whole(record.config, "image_size") for record in records]
    found = _table(records, SCREENING, {"image_size": sizes})
    return pd.concat([found, _params(records)], axis=1)


def _params(records: Sequence[TrialRecord | ScreeningRecord]) -> pd.DataFrame:
    params = [record.params for record in records]
    names = dict.fromkeys(name for each in params for name in each)
    chosen = {f"params.{name}": _chosen([each.get(name) for each in params]) for name in names}
    return pd.DataFrame(chosen)


def _read(run: str | Path) -> RunRecords:
    """Returns the records of a run, read once for all tables as long as no file changes."""
    files = sorted(Path(run).glob("*.json*"))
    stamps = tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return _read_once(Path(run), stamps)


@lru_cache(maxsize=1)
def _read_once(run: Path, _stamps: tuple[tuple[str, int, int], ...]) -> RunRecords:
    return read_run_records(run)


def _whole(config: Mapping[str, Any], name: str) -> int | None:
    """Returns the whole number `name` of a configuration, or `None` where an older version of the
    project recorded no such number.
    """
    return value if type(value := config.get(name)) is int else None


def _table(
    records: Sequence[object],
    columns: Mapping[str, Column],
    added: Mapping[str, Sequence[object]],
) -> pd.DataFrame:
    """Returns a table with a row for each record. Its columns are fields of the records, or in
    `added` where they have no field of that name.
    """
    found = {
        name: added[name] if name in added else [getattr(record, name) for record in records]
        for name in columns
    }
    return pd.DataFrame(
        {
            name: pd.Series(found[name], dtype=_dtype(name, column))
            for name, column in columns.items()
        }
    )


def _dtype(name: str, column: Column) -> Any:
    kinds = _CATEGORIES.get(name)
    return pd.CategoricalDtype([str(kind) for kind in kinds]) if kinds else column.dtype


def _chosen(values: Sequence[object]) -> "pd.Series[Any]":
    """Returns a parameter's values as a column: boolean, Int64 or float64 where all are of that
    kind, and otherwise as strings.
    """
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
The table `trials` has one row for each trial (column, dtype, unit, meaning):

{_described([*TRIALS.items(), ("params.NAME", PARAMS)])}

The table `epochs` has one row for each epoch of each trial:

{_described(EPOCHS.items())}

The table `finalists` has one row for each training of a finalist:

{_described(FINALISTS.items())}

The table `screening` has one row for each short training before the trials:

{_described([*SCREENING.items(), ("params.NAME", PARAMS)])}
"""
