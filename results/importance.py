"""Shows the importance of each parameter of a run, at each rung, among all trials that reached it.

python -m results.importance runs/NAME

Importance is the part of the differences in val_top1 that the parameter explains by itself, with
its interval. Optuna considers completed trials only. With ASHA these are few, and they are selected
by their earlier results. This analysis counts every trial at every rung that it reached, with its
val_top1 there.
"""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table

from common.cli import Parser, refuse
from common.errors import UserError
from results.analysis.explained_variance import Importance, explained_shares
from results.analysis.rung_values import trials_at_rungs
from results.run_hints import resume_command
from results.store import RunError, read_manifest

MIN_TRIALS = 16
"""An importance is computed from at least this many trials. In 300 simulated studies, a parameter
that explained three quarters of all differences, drawn at random, stood out in 0.78 of the studies
with 16 trials and in 0.98 of those with 24.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Holds the importance of each parameter among the trials of one rung, those that stand
    out from noise first.

    `epoch` is the rung and `trials` the number of trials. `parameters` is `None` when there are
    fewer than `MIN_TRIALS`, or when all values are equal.
    """

    epoch: int
    trials: int
    parameters: dict[str, Importance] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Holds the comparisons of a run in the order of rungs: among all trials at each rung, and
    among their upper quarter.
    """

    overall: list[Comparison]
    upper_quarter: list[Comparison]


def importances(run: Path) -> Report:
    """Returns the parameters' importance at each rung at which trials were stopped, and after the
    last epoch.

    A running or failed trial counts at the rungs that it reached, because a failure says nothing
    about accuracy. Raises `RunError` and `RecordError` for a run that can't be read or has no
    trial.
    """
    read_manifest(run)
    rungs = trials_at_rungs(run)
    if not rungs:
        raise RunError(
            f"{run} has no trial yet; let it run longer, or go on with it by "
            f"`{resume_command(run)}`."
        )
    return importances_at(rungs)


def importances_at(rungs: Mapping[int, Sequence[FrozenTrial]]) -> Report:
    """Returns the parameters' importance at each of these rungs, as `importances` does."""
    return Report(
        overall=[_compare(epoch, trials) for epoch, trials in rungs.items()],
        upper_quarter=[_compare(epoch, _upper_quarter(trials)) for epoch, trials in rungs.items()],
    )


def _upper_quarter(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the best quarter of the trials, rounded up, in the order of proposing; of equal
    trials the earlier ones are taken.
    """
    ranked = sorted(range(len(trials)), key=lambda index: -trials[index].values[0])
    return [trials[index] for index in sorted(ranked[: math.ceil(len(trials) / 4)])]


def _compare(epoch: int, trials: Sequence[FrozenTrial]) -> Comparison:
    parameters = explained_shares(trials) if len(trials) >= MIN_TRIALS else None
    return Comparison(epoch=epoch, trials=len(trials), parameters=parameters)


NOTE = """\
Per cent of the differences in val_top1 that the parameter explains by itself, among trials that
were proposed at about the same time, and the 98 % interval. With a *: the interval begins above 0,
as it does for one in a hundred parameters without effect; without, not told from noise. What the
search has settled explains little. Diverged trials count as the worst; at a later rung are only the
trials that earlier ones let through."""
"""The command prints this footnote below its tables, to explain the figures in them."""


def by_importance(comparisons: Iterable[Comparison]) -> list[str]:
    """Returns the parameters, sorted by where their highest interval begins and by their largest
    share of the differences at any rung.
    """
    largest: dict[str, tuple[float, float]] = {}
    for each in comparisons:
        for name, item in (each.parameters or {}).items():
            largest[name] = max(largest.get(name, (0.0, 0.0)), (item.low, item.share))
    return sorted(largest, key=lambda name: (*(-part for part in largest[name]), name))


def table(title: str, comparisons: Sequence[Comparison]) -> Table | str:
    """Returns a table with a row for each parameter, most important first, and a column for each
    rung, or a sentence with the reason where no rung has an importance.
    """
    names = by_importance(comparisons)
    if not names:
        reasons = "; ".join(" ".join(_head(each)) for each in comparisons)
        return f"{title}: {reasons}. {MIN_TRIALS} are needed."
    made = Table(title=title, title_justify="left")
    made.add_column("parameter", no_wrap=True)
    for each in comparisons:
        made.add_column("\n".join(_head(each)), justify="right", no_wrap=True)
    for name in names:
        made.add_row(name, *(_cell(each, name) for each in comparisons))
    return made


def _head(comparison: Comparison) -> list[str]:
    epoch, trials = f"epoch {comparison.epoch}", comparison.trials
    if trials < MIN_TRIALS:
        return [epoch, "too few", f"trials ({trials})"]
    if comparison.parameters is None:
        return [epoch, "equal values", f"({trials} trials)"]
    return [epoch, f"{trials} trials"]


def _cell(comparison: Comparison, name: str) -> str:
    found = (comparison.parameters or {}).get(name)
    if found is None:
        return "–"
    mark = "*" if found.above_noise else " "
    low, share, high = (f"{100 * part:.0f}" for part in (found.low, found.share, found.high))
    return f"{share} [{low}…{high}] {mark}"


def parser() -> Parser:
    """Builds the parser for the arguments of `python -m results.importance`."""
    made = Parser(prog="python -m results.importance", description=__doc__)
    made.add_argument("run", type=Path, help="a run directory, e.g. runs/NAME")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code:
    0, or 2 after an error.
    """
    options = parser().parse_args(arguments)
    console = Console(highlight=False)
    try:
        report = importances(options.run)
    except (UserError, OSError) as error:
        return refuse(error)
    parts = [
        table("Among all trials", report.overall),
        table("Among the upper quarter", report.upper_quarter),
    ]
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    if any(isinstance(part, Table) for part in parts):
        console.print(NOTE, soft_wrap=True)
    elif (lacking := MIN_TRIALS - max(each.trials for each in report.overall)) > 0:
        command = f"{resume_command(options.run)} --trials +{lacking}"
        console.print(f"Add some: {command}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
