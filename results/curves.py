"""Reads a table of recorded trainings as pandas tables, or writes one as CSV:

python -m results.curves results/published/curves/demo.npz --csv demo.csv

`epochs` has a row for each epoch of each training, `configurations` one for each configuration;
they join by the column `row`. `results/published/curves/NAME.md` says what a table holds.
"""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from common.cli import Parser, refuse
from common.errors import UserError
from common.files import write_text_atomically

# Pandas and Optuna take a second to load, and `--help` should not wait for them.
if TYPE_CHECKING:
    import pandas as pd

    from results.analysis.curve_table import Recording


class CurveTableError(UserError):
    """Reports a file that isn't a table of recorded trainings. The message names the remedy."""


def epochs(path: str | Path) -> "pd.DataFrame":
    """Returns a table with one row for each epoch of each training.

    The columns are `row` (the configuration's number; 0 is the baseline), `seed`, `fidelity`,
    `images` (trained in an epoch), `epoch` (from 1) and the recorded quantities, which are missing
    where a training doesn't have them or they weren't finite. Accuracies are fractions. Raises
    `CurveTableError`.
    """
    import pandas as pd

    parts = []
    for training in _read(Path(path)).trainings:
        curves = {
            name: [math.nan if value is None else value for value in curve]
            for name, curve in training["curves"].items()
        }
        part = pd.DataFrame({"epoch": range(1, 1 + max(map(len, curves.values()))), **curves})
        for place, name in enumerate(("row", "seed", "fidelity", "images")):
            part.insert(place, name, training[name])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def configurations(path: str | Path) -> "pd.DataFrame":
    """Returns a table with one row for each configuration: `row`, `origin` (baseline, search or
    uniform: how it was drawn) and a `params.NAME` for each parameter, missing where it doesn't
    count. Raises `CurveTableError`.
    """
    import pandas as pd

    rows = {training["row"]: training for training in _read(Path(path)).trainings}
    return pd.DataFrame(
        [
            {"row": row, "origin": training["origin"]}
            | {f"params.{name}": value for name, value in training["params"].items()}
            for row, training in sorted(rows.items())
        ]
    )


def _read(path: Path) -> "Recording":
    """Returns what a file holds, at least one training."""
    from results.analysis.curve_table import read_table

    try:
        recording = read_table(path)
        if recording.trainings:
            return recording
        reason = "it holds no training"
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).replace("\n", " ")
    raise CurveTableError(
        f"{path} must be a table of recorded trainings, but isn't ({reason}); name a file such as "
        "results/published/curves/demo.npz."
    )


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.curves`."""
    made = Parser(prog="python -m results.curves", description=__doc__)
    made.add_argument("table", type=Path, help="the table, e.g. results/published/curves/demo.npz")
    made.add_argument(
        "--csv", type=Path, metavar="FILE",
        help="write every epoch, with its configuration, to this file instead of a summary",
    )  # fmt: skip
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 where the file can't be read or written.
    """
    options = parser().parse_args(arguments)
    try:
        table = epochs(options.table)
        if options.csv:
            joined = table.merge(configurations(options.table), on="row")
            write_text_atomically(options.csv, joined.to_csv(index=False, float_format="%.7g"))
            print(f"{options.csv}: {len(joined):,} epochs of {joined['row'].nunique()} rows")
        else:
            last = table.groupby(["fidelity", "row", "seed"])["val_top1"].last()
            print("val_top1 after the last epoch:")
            print(last.groupby("fidelity").describe().round(3).to_string())
    except (UserError, OSError) as error:
        return refuse(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
