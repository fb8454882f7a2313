"""Tables of a search's end: the best trials, the Pareto front, the finalists."""

from collections.abc import Collection, Mapping, Sequence

from rich.table import Table

from results.analysis.finalist_comparison import BASELINE, Outcome
from results.analysis.intervals import Interval
from results.export import ranked
from results.records import TrialRecord, TrialState


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
            format_span(standing.top1, ".3f"),
            format_span(standing.lead, "+.3f"),
            *accidents,
        )
    return table


def format_span(interval: Interval | None, digits: str) -> str:
    """A mean and its interval's ends, in `digits`, as a format; a dash where there is none."""
    if interval is None:
        return "–"
    return f"{interval.mean:{digits}} ({interval.low:{digits}} … {interval.high:{digits}})"
