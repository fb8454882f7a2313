"""What is told at a search's end: leaderboard, best configuration, and the next command to type."""

from collections.abc import Callable, Collection, Mapping

from rich.console import Console
from rich.table import Table

from results.export import export, ranked
from results.importance import MIN_TRIALS
from results.records import StopReason, TrialRecord, TrialState
from results.store import read_standings
from search.horizons import horizon_of
from search.plan import Plan
from search.printing import plain, short


def summarise(plan: Plan, console: Console, interrupted: bool) -> int:
    """Prints what is on disk; returns the exit code: 0 done, 1 no result, 130 interrupted."""
    say = plain(console)
    trials = read_standings(plan.directory)
    order = ranked(trials)
    console.print()
    if order:
        console.print(leaderboard(trials, [each.first for each in plan.horizons]))
        if order[0].trusted:
            _say_winner(plan, order[0], trials, say)
    if interrupted:
        unfinished = sum(record.state is TrialState.RUNNING for record in trials.values())
        say(
            f"Interrupted: {len(trials)} of {plan.options.trials} trials are on disk, {unfinished} "
            "of them unfinished. Go on with:"
        )
        say(f"  {_resume(plan)}")
        return 130
    cut = sum(record.reason is StopReason.BUDGET for record in trials.values())
    if plan.options.time_budget and (cut or len(trials) < plan.options.trials):
        say(
            f"The time was up: {len(trials)} of {plan.options.trials} trials began, of which {cut} "
            "didn't finish. With more time the search goes on:"
        )
        say(f"  {_resume(plan)} --time-budget TIME")
    if not any(record.trusted for record in order):
        for failure in sorted({record.detail or "?" for record in trials.values()}):
            say(f"No trial went well: {failure} (tracebacks are in {plan.directory / 'errors'})")
        return 1
    if len(trials) >= MIN_TRIALS:
        say(f"Which parameters mattered: python -m results.importance {plan.directory}")
    return 0


def _say_winner(
    plan: Plan,
    winner: TrialRecord,
    trials: Mapping[int, TrialRecord],
    say: Callable[[str], None],
) -> None:
    baseline = trials.get(horizon_of(plan.horizons, winner.number).first)
    name = "the baseline" if winner is baseline else f"trial {winner.number}"
    won = f"Best: {name}, val_top1 {winner.best_val_top1:.3f} at epoch {winner.best_epoch}"
    if winner is not baseline and baseline and baseline.best_val_top1 is not None:
        won += f" (baseline {baseline.best_val_top1:.3f})"
    say(won)
    say("  " + ", ".join(f"{key} {short(value)}" for key, value in winner.params.items()))
    path = export(plan.directory)
    say(f"Written to {path}. Next, train it to the end and open test once:")
    say(f"  python -m trainables.final --config {path}{_flag('data', plan.options.data, 'data')}")


def _resume(plan: Plan) -> str:
    return f"python -m search.run --resume {plan.name}{_flag('out', plan.options.out, 'runs')}"


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
                "unfinished"
                if record.state is TrialState.RUNNING
                else record.reason or record.state,
            )
    return table
