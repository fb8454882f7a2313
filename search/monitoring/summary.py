"""Prints the summary of a search: leaderboard, best configuration, and the next commands."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from common.cli import quote_command
from common.files import describe_full_disk
from results.analysis.expected_gain import (
    ExpectedGain,
    advise_less,
    describe_gain,
    is_enough,
    latest_gain,
)
from results.analysis.finalist_comparison import BASELINE, Outcome, Standing, compare_finalists
from results.analysis.pareto import pareto_front
from results.analysis.ranking import choose_winner, rank_trials
from results.analysis.run_records import read_run_records
from results.analysis.session_times import GpuTime, sum_gpu_time
from results.importance import MIN_TRIALS
from results.records import FinalistRecord, StopReason, TrialRecord, TrialState
from results.run_hints import resume_command
from results.side_store import ENDED_BY_HAND, SteeringRecord, tried_by_hand
from results.store import STEERING
from search.monitoring.console import format_parameter, plain_printer
from search.monitoring.failure_summary import count_failures
from search.monitoring.leaderboard import finalists_table, format_span, front_table, leaderboard
from search.planning.plan import Plan
from search.study.horizons import horizon_of
from search.study.study import Study
from trainables.config import TrialConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """Holds the result of a search, as its records give it.

    `order` are the trials with a value, best first. `winner` is the trial whose configuration
    is handed over, or `None` where none succeeded. `front` is the Pareto front of several
    objectives, and empty for one. `finalists` are the records of the finalists' trainings, and
    `outcome` is their comparison, or `None` where there is nothing to compare. `gpu_time` is that
    of all sessions, `steered` is what a user has changed in any of them, and `by_hand` whether that
    has ended the last one.
    """

    trials: Mapping[int, TrialRecord]
    order: Sequence[TrialRecord]
    winner: TrialRecord | None
    front: Sequence[TrialRecord]
    finalists: Sequence[FinalistRecord]
    outcome: Outcome | None
    gpu_time: GpuTime
    steered: Sequence[SteeringRecord] = ()
    by_hand: bool = False


def read_result(plan: Plan) -> SearchResult:
    """Reads the result of the plan's run from its records. Raises `RunError` and `RecordError`."""
    records = read_run_records(plan.directory)
    trials, finalists = records.standings(), list(records.finalists.values())
    training_s = sum(each.wall_s for each in trials.values())
    training_s += sum(each.wall_s for each in finalists)
    sessions = records.manifest.get("sessions", ())
    outcome = compare_finalists(finalists)
    return SearchResult(
        trials=trials,
        order=rank_trials(trials.values()),
        winner=choose_winner(trials, plan.objectives, outcome),
        front=pareto_front(trials, plan.objectives) if len(plan.objectives) > 1 else [],
        finalists=finalists,
        outcome=outcome,
        gpu_time=sum_gpu_time(sessions, plan.resources.gpus * training_s),
        steered=records.steering,
        by_hand=bool(sessions) and sessions[-1].get("ended_by") == ENDED_BY_HAND,
    )


def print_summary(
    plan: Plan,
    result: SearchResult,
    best: Path | OSError | None,
    console: Console,
    *,
    interrupted: bool,
) -> None:
    """Prints a search's result, and the next command to type.

    best: the path of the best configuration, the error that kept it from being written, or `None`
    where there is none.
    """
    print_line = plain_printer(console)
    console.print()
    _print_tables(plan, result, console)
    for line in _describe_result(plan, result, best, interrupted=interrupted):
        print_line(line)


def _describe_result(
    plan: Plan, result: SearchResult, best: Path | OSError | None, *, interrupted: bool
) -> Iterator[str]:
    """Yields the lines below the tables: the best configuration, failures, and next commands."""
    if result.winner:
        yield _describe_best(plan, result, result.winner)
        yield _describe_params(result.winner)
        yield from _describe_file(plan, best)
    if len(result.front) > 1:
        command = quote_command("python -m results.export", plan.directory, "--trial", "N")
        yield f"Another one of the front: {command}"
    if held := result.gpu_time.describe():
        yield f"It took {held}."
    if gain := _gain(plan, result):
        yield f"Expected gain: {describe_gain(gain)}."
    if result.steered:
        counts = Counter(str(each.action) for each in result.steered).items()
        words = ", ".join(f"{action} {number}" for action, number in counts)
        yield f"Changed by hand ({words}): see {plan.directory / STEERING} or the report."
    yield from count_failures(result.trials.values(), plan.directory / "errors")
    if interrupted:
        yield from _describe_interruption(plan, result)
    elif result.winner is None:
        for failure in sorted({record.detail or "?" for record in result.trials.values()}):
            yield f"No trial went well: {failure}"
    else:
        yield from _suggest_commands(plan, result)


def _gain(plan: Plan, result: SearchResult) -> ExpectedGain | None:
    return latest_gain(result.trials.values(), plan.first)


def _print_tables(plan: Plan, result: SearchResult, console: Console) -> None:
    if not result.order:
        return
    if result.front:
        console.print(front_table(result.trials, result.front))
    else:
        baselines, by_hand = [each.first for each in plan.horizons], tried_by_hand(result.steered)
        console.print(leaderboard(result.trials, baselines, by_hand=by_hand))
    if result.outcome:
        console.print(finalists_table(result.outcome))


def _describe_best(plan: Plan, result: SearchResult, winner: TrialRecord) -> str:
    if result.outcome and result.outcome.winner:
        return describe_winner(result.outcome, result.outcome.winner)
    baseline = result.trials.get(horizon_of(plan.horizons, winner.number).first)
    name = "the baseline" if winner is baseline else _name(winner.number)
    best = "Most accurate" if len(plan.objectives) > 1 else "Best"
    won = f"{best}: {name}, val_top1 {winner.last_val_top1:.3f} after epoch {winner.epochs}"
    if winner is not baseline and baseline and baseline.last_val_top1 is not None:
        wrong = "" if baseline.trusted else f", {baseline.reason or baseline.state}"
        won += f" (baseline {baseline.last_val_top1:.3f}{wrong})"
    return won


def _describe_params(winner: TrialRecord) -> str:
    return "  " + ", ".join(f"{key} {format_parameter(v)}" for key, v in winner.params.items())


def _describe_file(plan: Plan, best: Path | OSError | None) -> Iterator[str]:
    """Yields where the best configuration is and what to do with it, or why it wasn't written."""
    if isinstance(best, OSError):
        yield f"error: best.yaml isn't written: {describe_full_disk(best, plan.directory) or best}"
        yield f"Then: {quote_command('python -m results.export', plan.directory)}"
    elif best is not None:
        yield f"Written to {best}. Next, train it to the end and open test once:"
        final = quote_command(
            "python -m trainables.final", "--config", best, data=plan.options.data
        )
        yield f"  {final}"


def _describe_interruption(plan: Plan, result: SearchResult) -> Iterator[str]:
    trials = result.trials
    unfinished = sum(record.state is TrialState.RUNNING for record in trials.values())
    yield (
        f"Interrupted: {len(trials)} of {plan.options.trials} trials are on disk, {unfinished} "
        f"of them unfinished{_finalists_left(result.finalists)}. Go on with:"
    )
    yield f"  {resume_command(plan.directory)}"


def _suggest_commands(plan: Plan, result: SearchResult) -> Iterator[str]:
    """Yields what the budget has cut short, and the commands that continue from here."""
    trials, options = result.trials, plan.options
    resume = f"  {resume_command(plan.directory)}"
    larger = f" --{'gpu-hours' if options.gpu_hours else 'time-budget'} …"
    cut = sum(
        record.reason is StopReason.BUDGET or record.state is TrialState.RUNNING
        for record in trials.values()
    )
    limited = options.time_budget or options.gpu_hours
    enough = is_enough(_gain(plan, result), options.min_gain)
    if result.by_hand:
        yield (
            f"Ended by hand: {len(trials)} of {options.trials} trials began, of which {cut} didn't "
            "finish. To go on:"
        )
        yield resume
    elif options.finalists and _unfinished(plan, result):
        yield "The budget ended before the finalists did. Go on with a larger one:"
        yield resume + larger
    elif limited and (cut or (len(trials) < options.trials and not enough)):
        yield (
            f"The budget ended the trials: {len(trials)} of {options.trials} began, of which "
            f"{cut} didn't finish. They go on with a larger one:"
        )
        yield resume + larger
    if not options.finalists and len(result.order) > 1 and not result.front:
        yield "One seed chose it. To train the best and the baseline again, with fresh seeds:"
        yield f"{resume} --finalists 3{larger if cut and limited and not result.by_hand else ''}"
    if len(trials) >= MIN_TRIALS:
        command = quote_command("python -m results.importance", plan.directory)
        yield f"Which parameters mattered: {command}"


def explain_early_end(study: Study[TrialConfig]) -> str | None:
    """Returns why a search proposed fewer trials than its options ask for, or `None` where it
    proposed all of them or its budget was the reason.
    """
    if study.gave_up():
        return "The last trials all failed: see what is wrong with this machine first."
    if study.exhausted():
        return "No configuration is left that hasn't been tried: the search ends early."
    why = study.gains.why_enough(study.trials - len(study.records))
    if why and study.gains.latest:
        less = advise_less(study.gains.latest)
        return f"The search ends early: {why}. To go on, resume it with {less}."
    return None


def _finalists_left(records: Sequence[FinalistRecord]) -> str:
    left = sum(record.state is TrialState.RUNNING for record in records)
    return f", and {left} of {len(records)} finalists' trainings" if records else ""


def _unfinished(plan: Plan, result: SearchResult) -> bool:
    """Returns whether the finalists' trainings didn't all end, so that some repeats couldn't be
    compared.
    """
    records, outcome = result.finalists, result.outcome
    waiting = not records or any(record.state is TrialState.RUNNING for record in records)
    return waiting and (outcome is None or len(outcome.seeds) < plan.options.repeats)


def describe_winner(outcome: Outcome, winner: Standing) -> str:
    """Returns which finalist is the best, and whether its lead exceeds the noise of its seeds."""
    best = f"Best: {_name(winner.trial)}, mean val_top1 {format_span(winner.top1, '.3f')}"
    if winner.trial == BASELINE:
        return f"{best}; no finalist's mean is higher."
    if outcome.beats_baseline is None:
        return f"{best}; the baseline isn't there to be compared."
    lead = format_span(winner.lead, "+.3f")
    if outcome.beats_baseline:
        return f"{best}; it beats the baseline beyond noise, by {lead}."
    return f"{best}; its lead over the baseline, {lead}, is within noise: try more --repeats."


def _name(number: int) -> str:
    return "the baseline" if number == BASELINE else f"trial {number}"
