"""What is told at a search's end: leaderboard, best configuration, and the next command to type."""

from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from results.export import export, ranked
from results.importance import MIN_TRIALS
from results.pareto import pareto_front
from results.records import TrialRecord, TrialState
from results.store import read_standings
from search.plan import Plan
from search.printing import plain, short


def summarise(plan: Plan, console: Console, interrupted: bool) -> int:
    """Prints what is on disk; returns the exit code: 0 done, 1 no result, 130 interrupted."""
    say = plain(console)
    trials = read_standings(plan.directory)
    order = ranked(trials)
    front = pareto_front(trials, plan.objectives) if len(plan.objectives) > 1 else []
    console.print()
    if order:
        console.print(front_table(trials, front) if front else leaderboard(trials))
        if order[0].trusted:
            _say_winner(plan, (front or order)[0], trials.get(0), say)
    if len(front) > 1:
        say(f"Another one of the front: python -m results.export {plan.directory} --trial N")
    if interrupted:
        unfinished = sum(record.state is TrialState.RUNNING for record in trials.values())
        say(
            f"Interrupted: {len(trials)} of {plan.options.trials} trials are on disk, {unfinished} "
            "of them unfinished. Go on with:"
        )
        say(f"  python -m search.run --resume {plan.name}{_flag('out', plan.options.out, 'runs')}")
        return 130
    if not any(record.trusted for record in order):
        for failure in sorted({record.detail or "?" for record in trials.values()}):
            say(f"No trial went well: {failure} (tracebacks are in {plan.directory / 'errors'})")
        return 1
    if len(trials) >= MIN_TRIALS:
        say(f"Which parameters mattered: python -m results.importance {plan.directory}")
    return 0


def _say_winner(
    plan: Plan, winner: TrialRecord, baseline: TrialRecord | None, say: Callable[[str], None]
) -> None:
    name = "the baseline" if winner.number == 0 else f"trial {winner.number}"
    best = "Most accurate" if len(plan.objectives) > 1 else "Best"
    won = f"{best}: {name}, val_top1 {winner.best_val_top1:.3f} at epoch {winner.best_epoch}"
    if winner.number != 0 and baseline and baseline.best_val_top1 is not None:
        won += f" (baseline {baseline.best_val_top1:.3f})"
    say(won)
    say("  " + ", ".join(f"{key} {short(value)}" for key, value in winner.params.items()))
    path = export(plan.directory)
    say(f"Written to {path}. Next, train it to the end and open test once:")
    say(f"  python -m trainables.final --config {path}{_flag('data', plan.options.data, 'data')}")


def _flag(name: str, value: str, default: str) -> str:
    return "" if value == default else f" --{name} {value}"


def leaderboard(trials: Mapping[int, TrialRecord], top: int = 10) -> Table:
    """The best trials, and the baseline wherever it stands."""
    table = Table(title="Leaderboard", title_justify="left")
    for column in ("rank", "trial", "val_top1", "at epoch", "epochs", "ended"):
        table.add_column(column, justify="left" if column == "ended" else "right", no_wrap=True)
    for rank, record in enumerate(ranked(trials), 1):
        if rank <= top or record.number == 0:
            table.add_row(
                str(rank),
                "baseline" if record.number == 0 else str(record.number),
                f"{record.best_val_top1:.3f}",
                str(record.best_epoch),
                str(record.epochs),
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
