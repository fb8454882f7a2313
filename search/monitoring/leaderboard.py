"""Builds the tables of a search's summary: the best trials, the Pareto front, the finalists."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from rich.table import Table

from results.analysis.finalist_comparison import BASELINE, Outcome
from results.analysis.intervals import Interval
from results.analysis.ranking import rank_trials
from results.overview.leaderboard_table import describe_ending
from results.records import TrialRecord


def leaderboard(
    trials: Mapping[int, TrialRecord],
    baselines: Collection[int] = (0,),
    top: int = 10,
    by_hand: Collection[int] = (),
) -> Table:
    """Returns a table of the `top` best trials and of the baselines, whatever their ranks. Each
    length of training has its own baseline. `val_top1` is that of the latest epoch, by which trials
    are ranked, and `highest` that of the epoch in the next column. The numbers of trials that a
    user has asked for, `by_hand`, are marked.
    """
    columns = ("rank", "trial", "val_top1", "highest", "at epoch", "epochs", "ended")
    table = _empty_table("Leaderboard", columns)
    for rank, record in enumerate(rank_trials(trials.values()), 1):
        if rank <= top or record.number in baselines:
            table.add_row(
                str(rank),
                "baseline"
                if record.number in baselines
                else f"{record.number}{' by hand' if record.number in by_hand else ''}",
                *_accuracies(record),
                str(record.epochs) + (f"/{record.config['epochs']}" if len(baselines) > 1 else ""),
                describe_ending(record),
            )
    return table


def front_table(trials: Mapping[int, TrialRecord], front: Sequence[TrialRecord]) -> Table:
    """Returns a table of the trials on the Pareto front, best val_top1 first. The baseline comes
    last if it isn't among them.
    """
    columns = ("trial", "val_top1", "latency_ms", "parameters_m", "epochs", "ended")
    table = _empty_table("Pareto front", columns)
    baseline = trials.get(0)
    below = [baseline] if baseline and baseline.epochs and baseline not in front else []
    for record in (*front, *below):
        table.add_row(
            "baseline" if record.number == 0 else str(record.number),
            f"{record.last_val_top1:.3f}",
            f"{record.latency_ms:g}",
            f"{record.parameters_m:.4g}",
            str(record.epochs),
            describe_ending(record) + (", not on the front" if record in below else ""),
        )
    return table


def _accuracies(record: TrialRecord) -> tuple[str, str, str]:
    """Returns the cells for the latest val_top1, the highest one, and the epoch of the latter."""
    return (
        f"{record.last_val_top1:.3f}",
        f"{record.best_val_top1:.3f}",
        str(record.best_epoch),
    )


def _empty_table(title: str, columns: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == "ended" else "right", no_wrap=True)
    return table


def finalists_table(outcome: Outcome) -> Table:
    """Returns a table of each finalist's mean with its interval, and its lead over the baseline."""
    n = len(outcome.seeds)
    of = f" of {outcome.planned}" if n < outcome.planned else ""
    wrong = [standing.values.count(None) for standing in outcome.standings]
    # All columns together are wider than the 80 of a pipe.
    last = ("went wrong",) if any(wrong) else ()
    table = _empty_table(
        f"Finalists: val_top1 after {outcome.epochs} epochs, {n}{of} fresh seeds, means with "
        "95 % intervals",
        ("rank", "trial", "val_top1", "lead over the baseline", *last),
    )
    for rank, (standing, count) in enumerate(zip(outcome.standings, wrong, strict=True), 1):
        table.add_row(
            str(rank),
            "baseline" if standing.trial == BASELINE else str(standing.trial),
            format_span(standing.top1, ".3f"),
            format_span(standing.lead, "+.3f"),
            *([str(count)] if last else []),
        )
    return table


def format_span(interval: Interval | None, digits: str) -> str:
    """Returns a mean and the ends of its interval as text, or a dash where there is none. `digits`
    is the format of a number, such as `.3f`.
    """
    if interval is None:
        return "–"
    return f"{interval.mean:{digits}} ({interval.low:{digits}} … {interval.high:{digits}})"
