"""What is told at a search's end: leaderboard, best configuration, and the next command to type."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from common.files import describe_full_disk
from results.analysis.finalist_comparison import BASELINE, Outcome, Standing, compare_finalists
from results.analysis.intervals import Interval
from results.analysis.pareto import pareto_front
from results.export import export, ranked
from results.finalist_store import read_finalists
from results.importance import MIN_TRIALS
from results.records import FinalistRecord, StopReason, TrialRecord, TrialState
from results.run_hints import resume_command
from results.store import read_standings
from search.monitoring.console import format_parameter, plain_printer
from search.planning.plan import Plan
from search.study.horizons import horizon_of
from search.study.study import Study
from trainables.config import TrialConfig

SHOWN = 12


def count_failures(records: Collection[TrialRecord], errors: object) -> list[str]:
    """A few lines, the commonest kind first; none where no trial failed or was tried again.

    errors: where the tracebacks are.
    """
    told = []
    if failed := [record for record in records if record.state is TrialState.FAILED]:
        told.append(f"{len(failed)} of {len(records)} trials failed (tracebacks: {errors}):")
        told += _count_kinds(failed)
    if again := sum(r.retried is not None and r.state is not TrialState.FAILED for r in records):
        told.append(f"{again} of {len(records)} trials broke off once and went on.")
    return told


def _count_kinds(failed: Iterable[TrialRecord]) -> list[str]:
    kinds: defaultdict[str, list[TrialRecord]] = defaultdict(list)
    for record in failed:
        kinds[_kind_of_failure(record)].append(record)
    order = sorted(kinds.items(), key=lambda item: -len(item[1]))
    lines = [
        f"  {len(found):4d}  {kind}, as trial {found[0].number}: {found[0].detail or '?'}"
        for kind, found in order[:SHOWN]
    ]
    rest = sum(len(found) for _, found in order[SHOWN:])
    return lines + ([f"  {rest:4d}  of {len(order) - SHOWN} more kinds"] if rest else [])


def _kind_of_failure(record: TrialRecord) -> str:
    """A failure's reason, else its error's name, or its first sentence, which is often the same
    where numbers of processes and addresses follow.
    """
    if record.reason:
        return str(record.reason)
    first = re.split(r"[.:]\s", record.detail or "?")[0].rstrip(".")
    return first if " " in first else first.rpartition(".")[2]


def summarise(plan: Plan, console: Console, interrupted: bool) -> int:
    """Prints what is on disk; returns the exit code: 0 done, 1 no result, 130 interrupted."""
    say = plain_printer(console)
    trials = read_standings(plan.directory)
    order = ranked(trials)
    finalists = list(read_finalists(plan.directory).values())
    outcome = compare_finalists(finalists)
    front = pareto_front(trials, plan.objectives) if len(plan.objectives) > 1 else []
    console.print()
    written = True
    if order:
        firsts = [each.first for each in plan.horizons]
        console.print(front_table(trials, front) if front else leaderboard(trials, firsts))
        if outcome:
            console.print(finalists_table(outcome))
        if order[0].trusted:
            written = _say_winner(plan, (front or order)[0], trials, outcome, say)
    if len(front) > 1:
        say(f"Another one of the front: python -m results.export {plan.directory} --trial N")
    for line in count_failures(trials.values(), plan.directory / "errors"):
        say(line)
    if interrupted:
        unfinished = sum(record.state is TrialState.RUNNING for record in trials.values())
        say(
            f"Interrupted: {len(trials)} of {plan.options.trials} trials are on disk, {unfinished} "
            f"of them unfinished{_finalists_left(finalists)}. Go on with:"
        )
        say(f"  {resume_command(plan.directory)}")
        return 130
    if not any(record.trusted for record in order):
        for failure in sorted({record.detail or "?" for record in trials.values()}):
            say(f"No trial went well: {failure} (tracebacks are in {plan.directory / 'errors'})")
        return 1
    cut = sum(record.reason is StopReason.BUDGET for record in trials.values())
    if plan.options.finalists and _unfinished(plan, finalists, outcome):
        say("The budget ended before the finalists did. Go on with a larger one:")
        say(f"  {resume_command(plan.directory)}{_larger(plan)}")
    elif _limited(plan) and (cut or len(trials) < plan.options.trials):
        say(
            f"The budget ended the trials: {len(trials)} of {plan.options.trials} began, of which "
            f"{cut} didn't finish. They go on with a larger one:"
        )
        say(f"  {resume_command(plan.directory)}{_larger(plan)}")
    if not plan.options.finalists and len(order) > 1 and not front:
        say("One seed chose it. To train the best and the baseline again, with fresh seeds:")
        say(f"  {resume_command(plan.directory)} --finalists 3{_larger(plan) if cut else ''}")
    if len(trials) >= MIN_TRIALS:
        say(f"Which parameters mattered: python -m results.importance {plan.directory}")
    return 0 if written else 1


def explain_early_end(study: Study[TrialConfig]) -> str | None:
    """Why a search proposed fewer trials than it was asked for, where the reason isn't its time."""
    if study.gave_up():
        return "The last trials all failed: see what is wrong with this machine first."
    if study.exhausted():
        return "No configuration is left that hasn't been tried: the search ends early."
    return None


def _limited(plan: Plan) -> bool:
    return bool(plan.options.time_budget or plan.options.gpu_hours)


def _larger(plan: Plan) -> str:
    """The option by which a budget is raised, its value left open."""
    return f" --{'gpu-hours' if plan.options.gpu_hours else 'time-budget'} …"


def _finalists_left(records: Sequence[FinalistRecord]) -> str:
    left = sum(record.state is TrialState.RUNNING for record in records)
    return f", and {left} of {len(records)} finalists' trainings" if records else ""


def _unfinished(plan: Plan, records: Sequence[FinalistRecord], outcome: Outcome | None) -> bool:
    """Whether finalists were asked for, and not all their repeats could be compared for want of
    time.
    """
    waiting = not records or any(record.state is TrialState.RUNNING for record in records)
    return waiting and (outcome is None or len(outcome.seeds) < plan.options.repeats)


def _say_winner(
    plan: Plan,
    leader: TrialRecord,
    trials: Mapping[int, TrialRecord],
    outcome: Outcome | None,
    say: Callable[[str], None],
) -> bool:
    """Returns whether best.yaml is written, which a full disk forbids."""
    if outcome and outcome.winner:
        winner = trials[outcome.winner.trial]
        say(describe_winner(outcome, outcome.winner))
    else:
        winner, baseline = leader, trials.get(horizon_of(plan.horizons, leader.number).first)
        name = "the baseline" if winner is baseline else _name(winner.number)
        best = "Most accurate" if len(plan.objectives) > 1 else "Best"
        won = f"{best}: {name}, val_top1 {winner.best_val_top1:.3f} at epoch {winner.best_epoch}"
        if winner is not baseline and baseline and baseline.best_val_top1 is not None:
            won += f" (baseline {baseline.best_val_top1:.3f})"
        say(won)
    say(
        "  " + ", ".join(f"{key} {format_parameter(value)}" for key, value in winner.params.items())
    )
    try:
        path = export(plan.directory)
    except OSError as error:
        say(f"error: best.yaml isn't written: {describe_full_disk(error, plan.directory) or error}")
        say(f"Then: python -m results.export {plan.directory}")
        return False
    say(f"Written to {path}. Next, train it to the end and open test once:")
    say(f"  python -m trainables.final --config {path}{_flag('data', plan.options.data, 'data')}")
    return True


def describe_winner(outcome: Outcome, winner: Standing) -> str:
    """Which finalist won, and whether that is more than its seeds explain."""
    said = f"Best: {_name(winner.trial)}, mean val_top1 {_span(winner.top1, '.3f')}"
    if winner.trial == BASELINE:
        return f"{said}; no finalist's mean is higher."
    if outcome.beats_baseline is None:
        return f"{said}; the baseline isn't there to be compared."
    lead = _span(winner.lead, "+.3f")
    if outcome.beats_baseline:
        return f"{said}; it beats the baseline beyond noise, by {lead}."
    return f"{said}; its lead over the baseline, {lead}, is within noise: more --repeats may tell."


def finalists_table(outcome: Outcome) -> Table:
    """Every finalist's mean with its interval, and its lead over the baseline."""
    n = len(outcome.seeds)
    of = f" of {outcome.planned}" if n < outcome.planned else ""
    table = Table(
        title=f"Finalists: val_top1 after {outcome.epochs} epochs, {n}{of} fresh seeds, means with "
        "95 % intervals",
        title_justify="left",
    )
    wrong = [standing.values.count(None) for standing in outcome.standings]
    # All columns together are wider than the 80 of a pipe.
    last = ("went wrong",) if any(wrong) else ()
    for column in ("rank", "trial", "val_top1", "lead over the baseline", *last):
        table.add_column(column, justify="right", no_wrap=True)
    for rank, standing in enumerate(outcome.standings, 1):
        accidents = (str(wrong[rank - 1]),) if any(wrong) else ()
        table.add_row(
            str(rank),
            "baseline" if standing.trial == BASELINE else str(standing.trial),
            _span(standing.top1, ".3f"),
            _span(standing.lead, "+.3f"),
            *accidents,
        )
    return table


def _span(interval: Interval | None, digits: str) -> str:
    if interval is None:
        return "–"
    return f"{interval.mean:{digits}} ({interval.low:{digits}} … {interval.high:{digits}})"


def _name(number: int) -> str:
    return "the baseline" if number == BASELINE else f"trial {number}"


def _flag(name: str, value: str, default: str) -> str:
    return "" if value == default else f" --{name} {value}"


def leaderboard(
    trials: Mapping[int, TrialRecord], baselines: Collection[int] = (0,), top: int = 10
) -> Table:
    """The best trials, and the baselines, one for each length of training, wherever they stand."""
    table = Table(title="Leaderboard", title_justify="left")
    for column in ("rank", "trial", "val_top1", "at epoch", "epochs", "ended"):
        table.add_column(column, justify="left" if column == "ended" else "right", no_wrap=True)
    for rank, record in enumerate(ranked(trials), 1):
        if rank <= top or record.number in baselines:
            table.add_row(
                str(rank),
                "baseline" if record.number in baselines else str(record.number),
                f"{record.best_val_top1:.3f}",
                str(record.best_epoch),
                str(record.epochs) + (f"/{record.config['epochs']}" if len(baselines) > 1 else ""),
                _ended(record),
            )
    return table


def front_table(trials: Mapping[int, TrialRecord], front: Sequence[TrialRecord]) -> Table:
    """The trials of the Pareto front, best val_top1 first, and the baseline last if not there."""
    table = Table(title="Pareto front", title_justify="left")
    columns = ("trial", "val_top1", "latency_ms", "parameters_m", "at epoch", "epochs", "ended")
    for column in columns:
        table.add_column(column, justify="left" if column == "ended" else "right", no_wrap=True)
    baseline = trials.get(0)
    below = [baseline] if baseline and baseline.epochs and baseline not in front else []
    for record in (*front, *below):
        table.add_row(
            "baseline" if record.number == 0 else str(record.number),
            f"{record.best_val_top1:.3f}",
            f"{record.latency_ms:g}",
            f"{record.parameters_m:.4g}",
            str(record.best_epoch),
            str(record.epochs),
            _ended(record) + (", not on the front" if record in below else ""),
        )
    return table


def _ended(record: TrialRecord) -> str:
    if record.state is TrialState.RUNNING:
        return "unfinished"
    return str(record.reason or record.state)
