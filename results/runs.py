"""Lists the runs in a folder: how each stands, its best accuracy beside the baseline's, its cost.

python -m results.runs [FOLDER] [--tag TAG] [--state STATE] [--json]
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from common.cli import Parser, print_json, refuse
from common.text import format_duration, format_fraction
from results.overview.run_overview import FIELDS, RunOverview, RunState, find_runs, overview_of
from results.overview.text_table import TextColumn, print_table

SCHEMA_VERSION = 1
"""The JSON contains this version, which changes with the meaning of a key."""

__doc__ += "\n`--json` prints one object with `schema_version`, `folder` and `runs`, a list of:\n\n"
__doc__ += "\n".join(f"    {name:18} {text}" for name, text in FIELDS.items()) + "\n"


def list_runs(
    folder: Path, tags: Sequence[str] = (), states: Sequence[str] = ()
) -> list[RunOverview]:
    """Returns the runs in `folder` that have all `tags` and one of the `states`, if any are given,
    those that were active last first. Raises `OSError` for a folder that can't be read.
    """
    found = [overview_of(directory) for directory in find_runs(folder)]
    chosen = [
        each
        for each in found
        if set(tags) <= set(each.tags) and (not states or each.state in states)
    ]
    return sorted(chosen, key=lambda each: each.active or "", reverse=True)


def print_runs(runs: Sequence[RunOverview], now: datetime) -> None:
    """Prints a table of runs, and a line for each that can't be read."""
    columns = [
        TextColumn(heading, [make(run, now) for run in runs], right)
        for heading, (make, right) in _COLUMNS.items()
    ]
    if not any(run.gpu_hours for run in runs):
        columns = [each for each in columns if each.heading != "GPU-hours"]
    if left_out := print_table(columns):
        print(f"Too narrow for {', '.join(left_out)}: `| cat`, or --json, shows everything.")
    for run in runs:
        if run.problem:
            print(f"{run.name}: {run.problem}")


def _lead(run: RunOverview) -> str:
    if run.best_val_top1 is None or run.baseline_val_top1 is None:
        return "–"
    return f"{run.best_val_top1 - run.baseline_val_top1:+.3f}"


def _age(moment: str | None, now: datetime) -> str:
    if moment is None:
        return "–"
    seconds = max((now - datetime.fromisoformat(moment)).total_seconds(), 0.0)
    days = int(seconds // 86_400)
    return f"{days} d ago" if days >= 2 else f"{format_duration(round(seconds))} ago"


_COLUMNS: dict[str, tuple[Callable[[RunOverview, datetime], str], bool]] = {
    "run": (lambda run, _: run.name, False),
    "state": (lambda run, _: str(run.state), False),
    "space": (lambda run, _: run.space or "–", False),
    "dataset": (lambda run, _: run.dataset or "–", False),
    "trials": (lambda run, _: f"{run.trials}/{run.planned}" if run.planned else str(run.trials),
               True),
    "best": (lambda run, _: format_fraction(run.best_val_top1), True),
    "baseline": (lambda run, _: format_fraction(run.baseline_val_top1), True),
    "lead": (lambda run, _: _lead(run), True),
    "training": (lambda run, _: format_duration(run.training_s), True),
    "GPU-hours": (lambda run, _: f"{run.gpu_hours:.2f}", True),
    "active": (lambda run, now: _age(run.active, now), True),
    "tags": (lambda run, _: " ".join(run.tags), False),
    "note": (lambda run, _: run.note.split("\n")[0], False),
}  # fmt: skip
"""Each heading has a function that makes its cell, and whether cells stand at the right. `best` and
`baseline` are val_top1, and `active` is how long ago a trial last began, ended or had an epoch.
"""


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.runs`."""
    made = Parser(prog="python -m results.runs", description=__doc__)
    made.add_argument(
        "folder", type=Path, nargs="?", default=Path("runs"),
        help="the folder that holds the runs (default: runs)",
    )  # fmt: skip
    made.add_argument(
        "--tag", action="append", default=[], metavar="TAG",
        help="only runs that have this tag; several times: all of them",
    )  # fmt: skip
    made.add_argument(
        "--state", action="append", default=[], choices=list(map(str, RunState)),
        help="only runs in this state; several times: in any of them",
    )  # fmt: skip
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 where the folder can't be read.
    """
    options = parser().parse_args(arguments)
    try:
        found = list_runs(options.folder, options.tag, options.state)
    except OSError as error:
        return refuse(
            f"{options.folder} must be a folder that holds runs, but can't be read "
            f"({error.strerror}); name the folder that --out names in searches."
        )
    if options.json:
        runs = [asdict(each) for each in found]
        value = {"schema_version": SCHEMA_VERSION, "folder": str(options.folder), "runs": runs}
        print_json(value)
    elif found:
        print_runs(found, datetime.now(UTC))
    else:
        which = " of these tags and states" if options.tag or options.state else ""
        print(
            f"{options.folder} holds no run{which}; `python -m search.run --space demo` makes one."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
