"""A run directory as tidy pandas tables."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from results.finalists import read_finalists
from results.store import read_epochs, read_trials


def epochs(run: Path) -> pd.DataFrame:
    """One row an epoch: `trial` and the fields of `EpochMetrics`, in the order of recording.

    Numbers that weren't finite are NaN here.
    """
    rows = [{"trial": trial, **asdict(metrics)} for trial, metrics in read_epochs(run)]
    return pd.DataFrame(rows)


def trials(run: Path) -> pd.DataFrame:
    """One row a trial, indexed by its number: the record's fields, then `params.` columns.

    A parameter that a trial didn't have is missing (NaN).
    """
    rows = []
    for record in read_trials(run).values():
        row = asdict(record)
        params = row.pop("params")
        row.pop("config")
        rows.append(row | {f"params.{name}": value for name, value in params.items()})
    table = pd.DataFrame(rows)
    return table if table.empty else table.set_index("number").sort_index()


def finalists(run: Path) -> pd.DataFrame:
    """One row a training of a finalist, in the order of planning: the record, and its seed."""
    rows = []
    for record in read_finalists(run).values():
        row = asdict(record)
        rows.append(row | {"seed": row.pop("config")["seed"]})
    return pd.DataFrame(rows)
