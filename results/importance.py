"""Shows the importance of each parameter of a run, at each rung, among all trials that reached it.

python -m results.importance runs/NAME

Optuna considers completed trials only. With ASHA these are few, and they are selected by their
earlier results. This analysis counts every trial at every rung that it reached, with its val_top1
there.
"""

import math
import random
import statistics
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table

from common.cli import Parser, refuse
from common.errors import UserError
from results.analysis.listed_study import study_of
from results.analysis.rung_values import quiet_optuna, trials_at_rungs
from results.run_hints import resume_command
from results.store import RunError, read_manifest

MIN_TRIALS = 16
"""An importance is computed from at least this many trials. In 20 simulated studies, a parameter
that decided nearly everything, drawn at random, stood out from noise in 2 studies with 10 trials,
14 with 16, 17 with 24, and 19 with 32.
"""

MOST_TRIALS = 1000
"""At most this many trials of a rung are compared, drawn at random where there are more. With 5,000
trials, whose importances take five times as long, they gave each share within its spread.
"""

REPEATS = 99
"""Results are shuffled this many times to estimate the noise, and trials resampled as often to
estimate the spread.
"""

BLOCK = 8
"""Results are shuffled within blocks of this many trials that were proposed in succession. TPE
moves all parameters while results rise, so that under a shuffle of the whole study a parameter that
only moved along seems to cause the rise. In 12 simulated TPE studies of 48 trials, the 3 parameters
without effect got 7 stars of 36 when shuffled over the whole study, 2 in blocks of 16, and none in
blocks of 8. The parameter with the largest effect got 12 of 12 in each case, and one with half of
that effect 10, 2 and 1: what TPE has settled early can't be distinguished from what only moved
along.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """Holds one parameter's importance among some trials.

    `share` is its part of all parameters' importance, in 0…1, and `spread` the standard deviation
    of that part over resampled trials. `above_noise` is true if the importance is larger than after
    each of `REPEATS` shuffles of the results, within blocks of `BLOCK` trials; for a parameter
    without effect this happens in one of a hundred cases.
    """

    share: float
    spread: float
    above_noise: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Holds the importance of each parameter at one rung, found by comparing the better half of
    some trials with all of them.

    `epoch` is the rung and `trials` the number of trials. `parameters` is `None` when there are
    fewer than `MIN_TRIALS`, or when more than half of them share the lowest value.
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


def importances(run: Path, repeats: int = REPEATS) -> Report:
    """Returns the parameters' importance at each rung at which trials were stopped, and after the
    last epoch.

    The same records always give the same numbers. A running or failed trial counts at the rungs
    that it reached, because a failure says nothing about accuracy.

    repeats: the number of shuffles and of resamples.

    Raises `RunError` and `RecordError` for a run that can't be read or has no trial.
    """
    read_manifest(run)
    rungs = trials_at_rungs(run)
    if not rungs:
        raise RunError(
            f"{run} has no trial yet; let it run longer, or go on with it by "
            f"`{resume_command(run)}`."
        )
    return importances_at(rungs, repeats)


def importances_at(rungs: Mapping[int, Sequence[FrozenTrial]], repeats: int) -> Report:
    """Returns the parameters' importance at each of these rungs, as `importances` does."""
    with quiet_optuna():
        return Report(
            overall=[_compare(epoch, trials, repeats) for epoch, trials in rungs.items()],
            upper_quarter=[
                _compare(epoch, _upper_quarter(trials), repeats) for epoch, trials in rungs.items()
            ],
        )


def _upper_quarter(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the best quarter of the trials, rounded up, in the order of proposing; of equal
    trials the earlier ones are taken.
    """
    ranked = sorted(range(len(trials)), key=lambda index: -_value(trials[index]))
    return [trials[index] for index in sorted(ranked[: math.ceil(len(trials) / 4)])]


def _value(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _compare(epoch: int, trials: Sequence[FrozenTrial], repeats: int) -> Comparison:
    number = len(trials)
    if number > MOST_TRIALS:
        drawn = sorted(random.Random(0).sample(range(number), MOST_TRIALS))
        trials = [trials[index] for index in drawn]
    parameters = _parameters(trials, repeats) if number >= MIN_TRIALS else None
    return Comparison(epoch=epoch, trials=number, parameters=parameters)


def _parameters(trials: Sequence[FrozenTrial], repeats: int) -> dict[str, Importance] | None:
    """Returns every parameter's importance, largest first, or `None` if too many are equal."""
    draw = random.Random(0)
    values = [_value(trial) for trial in trials]
    study = study_of(trials)
    seen = _divergences(study, values)
    if not any(seen.values()):
        return None
    shuffled = [_divergences(study, _shuffled(values, draw)) for _ in range(repeats)]
    resampled = [
        _shares(_divergences(study_of(again), [_value(trial) for trial in again]))
        for again in (draw.choices(trials, k=len(trials)) for _ in range(repeats))
    ]
    return {
        name: Importance(
            share=share,
            spread=statistics.stdev(shares.get(name, 0.0) for shares in resampled),
            above_noise=all(seen[name] > noise[name] for noise in shuffled),
        )
        for name, share in sorted(_shares(seen).items(), key=lambda item: (-item[1], item[0]))
    }


def _shuffled(values: Sequence[float], draw: random.Random) -> list[float]:
    blocks = (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))
    return [value for block in blocks for value in draw.sample(block, len(block))]


def _divergences(study: optuna.Study, values: Sequence[float]) -> dict[str, float]:
    """Returns how much the better half's values of each parameter differ from those of all trials.

    The measure is PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255, with conditional parameters as
    in arXiv:2601.20800), the only evaluator of Optuna that accepts parameters which only some
    trials have. It compares the better half with the trials as they were proposed rather than with
    the whole range, so that a preference of the sampler doesn't count as importance. The half
    replaces Optuna's default of a tenth, which is a handful among dozens of trials. Only the order
    of `values` matters, which may have any unit.
    """
    with warnings.catch_warnings():
        # Optuna warns of experimental features, and of the negated `target`, which is intended.
        warnings.simplefilter("ignore")
        return get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=0.5),
            target=lambda trial: -values[trial.number],
            normalize=False,
        )


def _shares(divergences: Mapping[str, float]) -> dict[str, float]:
    total = sum(divergences.values())
    return {name: value / total if total else 0.0 for name, value in divergences.items()}


NOTE = f"""\
Per cent of all parameters' importance, ± its standard deviation over resampled trials. With a *:
more than after any of {REPEATS} shuffles of the results; without, not told from noise. Diverged
trials count as the worst; at a later rung are only the trials that earlier ones let through. Of
more than {MOST_TRIALS:,} trials at a rung, as many are drawn at random."""
"""The command prints this footnote below its tables, to explain the figures in them."""


def by_importance(comparisons: Iterable[Comparison]) -> list[str]:
    """Returns the parameters, sorted by their largest share of the importance at any rung."""
    largest: dict[str, float] = {}
    for each in comparisons:
        for name, item in (each.parameters or {}).items():
            largest[name] = max(largest.get(name, 0.0), item.share)
    return sorted(largest, key=lambda name: (-largest[name], name))


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
    return f"{100 * found.share:.0f} ±{100 * found.spread:>2.0f} {mark}"


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
        with console.status("Shuffling and resampling the trials"):
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
