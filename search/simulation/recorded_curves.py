"""Reads recorded learning curves, a table that takes the place of training in a simulated search.

There are three sources. A file `NAME.npz` holds `configs` (n, d) with their `names` (d,), and
`val_accuracy` (n, epochs) in per cent or `val_loss` (n, epochs); if it has them, `train_loss`
(n, epochs) and `wall_s` (n,) for all epochs of a configuration. A table of recorded trainings of
one of our spaces (`results/published/curves/`, see `results.analysis.curve_table`) has its own
ranges, conditional parameters and baseline. A finished run, `runs/NAME`, is a table of its own
trials. A proposed configuration is answered by the nearest one in the table, unless a search may
propose none but the table's.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from common.array_files import read_arrays
from common.errors import UserError
from results.analysis.curve_table import of_arrays
from results.analysis.run_records import read_run_records
from results.analysis.rung_values import read_fitting_proposals
from results.records import EpochMetrics, StopReason, TrialRecord
from search.samplers.encoding import Encoding, Matrix, Vector
from search.simulation.short_trainings import ShortTrainings, curves_at, find_short_trainings


class CurvesError(UserError):
    """Reports curves that can't be read. The message names the file and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Holds the recorded curves of one task; row i belongs to configuration i.

    `val` (n, epochs) holds fractions, of which higher ones are better. A loss is turned into
    exp(-loss), the geometric mean of the probability of the right class. `train` is the same on
    training data, and `train_loss` is the loss itself, NaN where a trial diverged; both are `None`
    where they weren't recorded. `points` (n, width) holds the configurations as `encoding` encodes
    them, and `epoch_s` (n,) the seconds of an epoch. `short` has the configurations' short
    trainings, where these were recorded; our own policy begins with them where `screening` is true.
    """

    name: str
    encoding: Encoding
    points: Matrix
    val: Matrix
    epoch_s: Vector
    num_classes: int
    train: Matrix | None = None
    train_loss: Matrix | None = None
    baseline: Mapping[str, Any] | None = None
    conditions: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    only_rows: bool = False
    short: ShortTrainings | None = None
    screening: bool = False

    @property
    def epochs(self) -> int:
        """Returns the number of epochs of a full training."""
        return int(self.val.shape[1])

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """Returns the range of each parameter, by the parameter's name."""
        return self.encoding.space

    @cached_property
    def configurations(self) -> list[dict[str, Any]]:
        """Returns the parameters of each row."""
        return [self.encoding.decode(point) for point in self.points]

    def nearest(self, params: Mapping[str, Any]) -> int:
        """Returns the row of the nearest configuration. Parameters that either of the two lacks
        don't count.
        """
        difference = self.points - self.encoding.encode(params)
        difference[np.isnan(difference)] = 0.0
        return int(np.argmin(np.einsum("ij,ij->i", difference, difference)))

    def metrics(self, row: int, epoch: int) -> EpochMetrics:
        """Returns the metrics of a configuration after an epoch.

        row: the configuration's row in the table.
        epoch: the number of the epoch, from 1.
        """
        at = (row, epoch - 1)
        val, loss = float(self.val[at]), 0.0 if self.train_loss is None else self.train_loss[at]
        train = val if self.train is None else float(self.train[at])
        return EpochMetrics(
            epoch=epoch,
            train_loss=float(loss) if math.isfinite(loss) else None,
            train_top1=train,
            val_loss=None,
            val_top1=val,
            val_top5=None,
            gap=train - val,
            lr=0.0,
            images_per_s=0.0,
            train_s=float(self.epoch_s[row]),
            wall_s=float(self.epoch_s[row]),
            peak_memory_bytes=0,
        )


def read_curves(path: Path) -> Curves:
    """Returns the curves in a file or a run. Raises `CurvesError`, `RunError` and `RecordError`
    where they can't be read.
    """
    return read_curves_file(path) if path.suffix == ".npz" else read_run_curves(path)


def read_curves_file(path: Path) -> Curves:
    """Returns the curves in an `.npz` file, where each parameter's range spans the values in the
    file. Raises `CurvesError` where the file can't be read.
    """
    try:
        arrays = read_arrays(path)
        return _recorded(path, arrays) if "about" in arrays else _curves(path, arrays)
    except CurvesError:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen types for broken content
        reason = str(error).replace("\n", " ")
        raise CurvesError(
            f"{path} must be an .npz file of curves, but isn't ({reason}); copy it again."
        ) from error


def _curves(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Curves:
    found = [name for name in ("val_accuracy", "val_loss") if name in arrays]
    missing = {"configs", "names"} - arrays.keys()
    if missing or not found:
        lacks = ", ".join(sorted(missing) or ["val_accuracy or val_loss"])
        raise CurvesError(
            f"{path} must hold configs, names and validation curves, but has no {lacks}; see "
            "search/simulation/recorded_curves.py for the format."
        )
    columns = arrays["configs"].astype(np.float64).T
    axes = [_axis(str(name), each) for name, each in zip(arrays["names"], columns, strict=True)]
    encoding = Encoding({name: distribution for name, _, distribution in axes})
    rows = zip(*(values.tolist() for _, values, _ in axes), strict=True)
    curves = arrays[found[0]].astype(np.float64)
    val = curves / 100 if found[0] == "val_accuracy" else _probability(curves)
    loss = arrays["train_loss"].astype(np.float64) if "train_loss" in arrays else None
    seconds = arrays.get("wall_s", np.full(len(val), val.shape[1])).astype(np.float64)
    return Curves(
        name=path.stem,
        encoding=encoding,
        points=np.array([encoding.encode(dict(zip(encoding.space, r, strict=True))) for r in rows]),
        val=val,
        epoch_s=seconds / val.shape[1],
        num_classes=2,
        train=None if loss is None else _probability(loss),
        train_loss=loss,
    )


def _recorded(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Curves:
    """Returns the full trainings with the first seed of a recorded table.

    A training that diverged stays at its last values. The duration of an epoch is its processor
    time, because one thread trained while the machine may have done other work.
    """
    recording = of_arrays(arrays)
    if not (rows := curves_at(recording, "full")):
        raise CurvesError(
            f"{path} must hold full trainings, but has none; record some with "
            "`python -m tests.benchmarks.record_curves`."
        )
    about, encoding = recording.headers[0], Encoding(recording.ranges())
    length = max(len(each["val_top1"]) for each in rows.values())
    curves = {name: _filled(rows, name, length) for name in ("val_top1", "train_top1")}
    params = {t["row"]: t["params"] for t in recording.trainings}
    return Curves(
        name=path.stem,
        encoding=encoding,
        points=np.array([encoding.encode(params[row]) for row in rows]),
        val=curves["val_top1"],
        epoch_s=_filled(rows, "cpu_s", length).mean(1),
        num_classes=about["num_classes"],
        train=curves["train_top1"],
        train_loss=_filled(rows, "train_loss", length),
        baseline=params.get(0),
        conditions={name: (owner, value) for name, (owner, value) in about["conditions"].items()},
        short=find_short_trainings(recording, list(rows), length),
    )


def _filled(rows: Mapping[int, Mapping[str, Any]], name: str, length: int) -> Matrix:
    """Returns curves of shape (n, length), with each one's last value repeated to the end, and NaN
    where a value isn't finite.
    """
    curves = [rows[row][name] for row in rows]
    whole = [[*curve, *[curve[-1]] * (length - len(curve))] for curve in curves]
    return np.array(whole, dtype=np.float64)


def _probability(loss: Matrix) -> Matrix:
    return np.nan_to_num(np.exp(-loss), nan=0.0)


def _axis(name: str, values: Vector) -> tuple[str, Vector, BaseDistribution]:
    """Returns a column's name, values and range, on the scale on which the values are spread most
    evenly.

    A file doesn't say how its configurations were drawn, but on the right scale their median lies
    in the middle. The scale is linear, logarithmic, or for shares near 1, such as a momentum's,
    logarithmic in the distance from 1; in the last case the parameter becomes `1-NAME`.
    """
    low, high = float(values.min()), float(values.max())
    scales = {"linear": _off_centre(values)}
    if low > 0:
        scales["log"] = _off_centre(np.log(values))
        if high < 1:
            scales["to 1"] = _off_centre(np.log(1 - values))
    scale = min(scales, key=scales.__getitem__)
    if scale == "to 1":
        rest = 1 - values
        return f"1-{name}", rest, FloatDistribution(float(rest.min()), float(rest.max()), log=True)
    if (values == np.round(values)).all():
        return name, values, IntDistribution(int(low), int(high), log=scale == "log")
    return name, values, FloatDistribution(low, high, log=scale == "log")


def _off_centre(values: Vector) -> float:
    """Returns the distance of the median from the middle of the range, as a share of the range."""
    spread = float(np.ptp(values))
    return abs(float(np.median(values)) - float(values.min() + spread / 2)) / (spread or 1.0)


def read_run_curves(directory: Path) -> Curves:
    """Returns the trials of a run as a table. The curve of a stopped trial stays at its last
    epoch's values until the end.

    A rule that would have continued such a trial therefore gains nothing by it, because the table
    doesn't contain the epochs that never ran. A diverged trial diverges again at the same epoch.
    Raises `CurvesError`, `RunError` and `RecordError` where the run can't be read or has no epoch.
    """
    run = read_run_records(directory)
    records = run.trials
    seen = {number: run.epochs[number] for number, _ in run.recorded}
    if not seen:
        raise CurvesError(f"{directory} must hold trained epochs, but has none; name another run.")
    space: dict[str, BaseDistribution] = {}
    for trial in read_fitting_proposals(directory, run.manifest, records).values():
        space |= trial.distributions
    encoding = Encoding(space)
    length = max(int(records[number].config["epochs"]) for number in seen)
    tables = [_table(records[number], epochs, length) for number, epochs in seen.items()]
    return Curves(
        name=directory.name,
        encoding=encoding,
        points=np.array([encoding.encode(records[number].params) for number in seen]),
        val=np.array([table[0] for table in tables]),
        epoch_s=np.array([np.mean([e.wall_s for e in epochs]) for epochs in seen.values()]),
        # With this number of classes no loss counts as exploded, because the records already tell
        # which trials diverged.
        num_classes=sys.maxsize,
        train=np.array([table[1] for table in tables]),
        train_loss=np.array([table[2] for table in tables]),
    )


def _table(record: TrialRecord, epochs: list[EpochMetrics], length: int) -> Matrix:
    """Returns val_top1, train_top1 and train_loss of one trial, of shape (3, length), with the last
    values repeated to the end.
    """
    rows = [
        (e.val_top1 or 0.0, e.train_top1, math.nan if e.train_loss is None else e.train_loss)
        for e in epochs
    ]
    table = np.array([*rows, *[rows[-1]] * (length - len(rows))]).T
    if record.reason is StopReason.DIVERGED:
        table[2, len(rows) - 1 :] = math.nan
    return table
