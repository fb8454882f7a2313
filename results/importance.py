"""Which parameters mattered in a run, at each rung, among all trials that reached it.

python -m results.importance runs/NAME

Optuna alone counts completed trials only, and with ASHA these are few and chosen by what they
showed before. Here every trial counts at every rung that it reached, with its val_top1 there.
"""

import math
import random
import statistics
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table

from common.cli import Parser, refuse
from common.errors import UserError
from results.analysis.rung_values import quiet_optuna, trials_at_rungs
from results.run_hints import resume_command
from results.store import RunError, read_manifest

MIN_TRIALS = 16
"""Fewer trials give no number. A parameter that decided nearly everything, drawn at random, was
told from noise in 2 of 20 simulated studies with 10 trials, 14 with 16, 17 with 24, 19 with 32."""

REPEATS = 99
"""Shuffles, for the noise, and resamples, for the spread."""

BLOCK = 8
"""Results are shuffled among so many trials proposed one after the other. TPE moves all parameters
while results rise, and shuffled at large, one that only moved along seems to be why they rose. In
12 simulated TPE studies of 48 trials, 3 parameters without effect got 7 stars of 36 at large, 2 in
blocks of 16, none in blocks of 8; the one with most effect got 12 of 12 in each, one with half of
that 10, 2 and 1: what TPE has settled early can't be told from what only moved along."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """One parameter's importance among some trials.

    `share` is its part of all parameters' importance, 0…1, and `spread` the standard deviation
    of that part over resampled trials. `above_noise`: the importance is larger than after every
    one of `REPEATS` shuffles of the results, each within blocks of `BLOCK` trials. Of parameters
    without effect that happens to one in a hundred.
    """

    share: float
    spread: float
    above_noise: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What told the better half of some trials from all of them, at one rung.

    `trials` counts them; `parameters` is `None` when they are fewer than `MIN_TRIALS`, or when
    more than half of them share the lowest value.
    """

    epoch: int
    trials: int
    parameters: dict[str, Importance] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A comparison for each rung, in order of epochs: of all trials there, and of the best ones."""

    overall: list[Comparison]
    upper_quarter: list[Comparison]


def importances(run: Path, repeats: int = REPEATS) -> Report:
    """What mattered at each rung at which trials were stopped, and after the last epoch.

    Same records, same numbers. A trial that is running, or has failed, counts at the rungs that
    it reached: what ended it elsewhere is no matter of accuracy. Raises `RunError` and
    `RecordError` for a run that can't be read, or has no trial.
    """
    read_manifest(run)
    with quiet_optuna():
        rungs = trials_at_rungs(run)
        if not rungs:
            raise RunError(
                f"{run} has no trial yet; let it run longer, or go on with it by "
                f"`{resume_command(run)}`."
            )
        return Report(
            overall=[_compare(epoch, trials, repeats) for epoch, trials in rungs.items()],
            upper_quarter=[
                _compare(epoch, _upper_quarter(trials), repeats) for epoch, trials in rungs.items()
            ],
        )


def _upper_quarter(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The best of them, ties to the earlier, still in the order of proposing."""
    ranked = sorted(range(len(trials)), key=lambda index: -_value(trials[index]))
    return [trials[index] for index in sorted(ranked[: math.ceil(len(trials) / 4)])]


def _value(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _compare(epoch: int, trials: Sequence[FrozenTrial], repeats: int) -> Comparison:
    parameters = _parameters(trials, repeats) if len(trials) >= MIN_TRIALS else None
    return Comparison(epoch=epoch, trials=len(trials), parameters=parameters)


def _parameters(trials: Sequence[FrozenTrial], repeats: int) -> dict[str, Importance] | None:
    """Every parameter's importance, largest first; `None` when too many trials are equal."""
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
    """How much the better half's values of each parameter differ from those of all trials.

    PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255, conditional parameters as in
    arXiv:2601.20800): the one evaluator of Optuna's that takes parameters which only some trials
    have. It compares with the trials as they were proposed, not with the whole range, so what the
    sampler preferred is no importance. Half of the trials, not Optuna's tenth: with dozens of
    trials a tenth is a handful. It goes by order alone, and `values` may be in any unit.
    """
    with warnings.catch_warnings():
        # Of parts that are experimental, and of what is done here on purpose: `target` is negated.
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


def study_of(trials: Sequence[FrozenTrial]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    study.add_trials(trials)
    return study


NOTE = f"""\
Per cent of all parameters' importance, ± its standard deviation over resampled trials. With a *:
more than after any of {REPEATS} shuffles of the results; without, not told from noise. Diverged
trials count as the worst; at a later rung are only the trials that earlier ones let through."""


def table(title: str, comparisons: Sequence[Comparison]) -> Table | str:
    """A row a parameter, most important first, a column a rung; a sentence when all are refused."""
    largest: dict[str, float] = {}
    for each in comparisons:
        for name, importance in (each.parameters or {}).items():
            largest[name] = max(largest.get(name, 0.0), importance.share)
    if not largest:
        said = "; ".join(" ".join(_head(each)) for each in comparisons)
        return f"{title}: {said}. {MIN_TRIALS} are needed."
    made = Table(title=title, title_justify="left")
    made.add_column("parameter", no_wrap=True)
    for each in comparisons:
        made.add_column("\n".join(_head(each)), justify="right", no_wrap=True)
    for name in sorted(largest, key=lambda n: (-largest[n], n)):
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
    """The command line."""
    made = Parser(prog="python -m results.importance", description=__doc__)
    made.add_argument("run", type=Path, help="a run directory, e.g. runs/NAME")
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
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
