"""Gives a run's result to Python: the best configuration, tables, the report, final training."""

from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from results.export import best_config, export
from results.records import FinalRecord
from results.report import write_report
from results.store import read_manifest, read_trials
from search.session.api.host import in_host

if TYPE_CHECKING:
    import pandas as pd

REPORT = "report.html"
"""A run's report has this name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """Holds the configuration that a search chose: the number of its `trial`, all its fields as
    `config`, and those that the search varied as `params`.

    `val_top1` is its accuracy on val after `epoch` epochs, a fraction, and a mean where finalists
    were trained; `selected_by` says by which rule it was chosen. `baseline_val_top1` is the
    baseline's accuracy, or `None` where the baseline has none. `path` is a best.yaml with all this.
    """

    trial: int
    config: dict[str, Any]
    params: dict[str, Any]
    val_top1: float
    epoch: int
    selected_by: str
    baseline_val_top1: float | None
    path: Path


class Result:
    """Reads the result of the run in `directory`, whether the run is finished, interrupted or still
    going on. Each access reads the records as they are then.

    notes: what went wrong while the search ran, a sentence each.
    """

    def __init__(self, directory: str | PathLike[str], notes: tuple[str, ...] = ()) -> None:
        self.directory, self.notes = Path(directory), notes

    @property
    def best(self) -> Best:
        """Returns the best configuration, beside the baseline, and writes it as best.yaml. Raises
        `RunError` where no trial has a result, and `RecordError` for damaged records.
        """
        found = best_config(self.directory)
        baseline = found["baseline"] or {}
        return Best(
            trial=found["trial"],
            config=found["config"],
            params=read_trials(self.directory)[found["trial"]].params,
            val_top1=found["value"],
            epoch=found["epoch"],
            selected_by=found["selected_by"],
            baseline_val_top1=baseline.get("value"),
            path=export(self.directory),
        )

    def trials(self) -> "pd.DataFrame":
        """Returns a table with a row for each trial; `results.frame` lists its columns."""
        from results import frame

        return frame.trials(self.directory)

    def epochs(self) -> "pd.DataFrame":
        """Returns a table with a row for each epoch of each trial; `results.frame` lists its
        columns.
        """
        from results import frame

        return frame.epochs(self.directory)

    @property
    def report(self) -> Path:
        """Returns the path of the run's page, which is written if it isn't there."""
        path = self.directory / REPORT
        return path if path.exists() else write_report(self.directory)

    def train_final(self, *, show: bool = False, **options: Any) -> FinalRecord:
        """Trains the best configuration on train and val to the end, opens test once, and returns
        the record, as `python -m trainables.final` does with the same options.

        show: whether to print a line an epoch.

        The model is in the folder `out`, by default `final` in the run. With `repeats`, the record
        is that of the first training. Raises `UserError` for options that are unknown or wrong and
        for whatever keeps the training from its end, and `KeyboardInterrupt` after Ctrl-C, once the
        training is saved; the same call goes on.
        """
        from trainables.final import train_final

        usual = {"data": read_manifest(self.directory)["options"]["data"]}
        with in_host(silent=not show):
            return train_final(self.best.path, usual | options)

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "<br>".join(map(escape, self._lines()))

    def _lines(self) -> list[str]:
        lines = [f"{self.directory}: {len(read_trials(self.directory))} trials"]
        try:
            best = self.best
        except UserError as error:
            return [*lines, *error.errors]
        name = "the baseline" if best.trial == 0 else f"trial {best.trial}"
        before = (
            "" if best.baseline_val_top1 is None else f" (baseline {best.baseline_val_top1:.3f})"
        )
        lines.append(f"best: {name}, val_top1 {best.val_top1:.3f} after epoch {best.epoch}{before}")
        return [*lines, "  " + ", ".join(f"{name} {v}" for name, v in best.params.items())]
