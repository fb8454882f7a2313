"""Where the epochs and the time went: how many trials each rung let through, and doing what."""

from collections.abc import Iterable, Mapping

import plotly.graph_objects as go

from common.text import format_duration
from results.page.curves import longest
from results.page.figure import Panel, Section, plot, step_of_epochs
from results.page.formatting import OUTCOMES, count, outcome, percent
from results.page.run_data import Run
from results.records import EpochMetrics, StopReason

USES = {
    "training": "#3a8fd0",
    "evaluation": "#8a6fd1",
    "loading": "#e69f00",
    "starting": "#cc4f8f",
    "idle": "#8d96a3",
}
"""What a worker does, and its colour."""

FINALISTS = "finalists"


def time_section(run: Run) -> Section:
    """The section of both."""
    panels = [
        Panel(
            key="survival",
            title="Survival",
            caption=f"How many trials trained each epoch, coloured by how they ended{_stops(run)}.",
            figure=survival(run),
            height=320,
            beside=2,
        ),
        Panel(
            key="time",
            title="Where the time went",
            caption=_time_words(run),
            figure=times(run),
            height=320,
            beside=2,
        ),
    ]
    return Section(key="spending", title="Epochs and time", panels=panels, notes=[])


def rungs(run: Run) -> list[int]:
    """The epochs after which a trial was stopped because of its rank."""
    stopped = (r for r in run.trials.values() if r.reason is StopReason.RUNG)
    return sorted({record.epochs for record in stopped})


def _stops(run: Run) -> str:
    found = ", ".join(str(rung) for rung in rungs(run))
    return f"; dotted: the rungs that stopped some, after epoch {found}" if found else ""


def survival(run: Run) -> go.Figure:
    """Stacked bars over epochs."""
    figure = plot("epoch", "trials", barmode="stack", bargap=0.15)
    epochs = list(range(1, longest(run) + 1))
    for key, (label, color) in OUTCOMES.items():
        lengths = [r.epochs for r in run.trials.values() if outcome(r) == key]
        if any(lengths):
            figure.add_bar(
                x=epochs,
                y=[sum(length >= epoch for length in lengths) for epoch in epochs],
                name=label,
                marker={"color": color},
                hovertemplate="epoch %{x}: %{y}",
            )
    for rung in rungs(run):
        figure.add_vline(x=rung + 0.5, line={"color": "#8d96a3", "dash": "dot", "width": 1.5})
    figure.update_xaxes(dtick=step_of_epochs(longest(run)))
    return figure


def seconds_by_use(epochs: Iterable[EpochMetrics]) -> dict[str, float]:
    """Seconds by `USES`.

    Loading is the waiting for batches, in records that tell it; in older ones it is part of
    training. Starting is the time before an epoch's first step, but for that waiting.
    """
    total = dict.fromkeys(USES, 0.0)
    for m in epochs:
        loading = m.loading_s or 0.0
        total["training"] += m.train_s - loading
        total["evaluation"] += m.wall_s - m.train_s
        total["loading"] += loading
        total["starting"] += max(0.0, m.start_s - loading)
        total["idle"] += m.idle_s
    return total


def times_by_outcome(run: Run) -> dict[str, dict[str, float]]:
    """Seconds by how trials ended and what was done; finalists' trainings beside them."""
    found = {}
    for key, (label, _) in OUTCOMES.items():
        own = [m for number, m in run.recorded if outcome(run.trials[number]) == key]
        if own:
            found[label] = seconds_by_use(own)
    if run.finalist_epochs:
        found[FINALISTS] = seconds_by_use(run.finalist_epochs)
    return found


def times(run: Run) -> go.Figure:
    """Stacked bars, a row an outcome."""
    figure = plot("hours of all workers", "", barmode="stack")
    found = times_by_outcome(run)
    for doing, color in USES.items():
        seconds = [each[doing] for each in found.values()]
        if not any(seconds):
            continue
        figure.add_bar(
            x=[each / 3600 for each in seconds],
            y=list(found),
            customdata=[format_duration(each) for each in seconds],
            hovertemplate="%{y}: %{customdata}",
            orientation="h",
            name=doing,
            marker={"color": color},
        )
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _time_words(run: Run) -> str:
    total = _total(times_by_outcome(run).values())
    parts = ", ".join(f"{doing} {percent(share)}" for doing, share in total.items() if share)
    epochs = [*(m for _, m in run.recorded), *run.finalist_epochs]
    unsaid = sum(m.loading_s is None for m in epochs)
    more = f" {count(unsaid, 'epoch')} didn't record loading: there it is part of training."
    return f"By how trials ended: {parts}.{more if unsaid else ''}"


def _total(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Each doing's share of all time."""
    found = [dict(part) for part in parts]
    everything = sum(sum(part.values()) for part in found) or 1.0
    return {doing: sum(part[doing] for part in found) / everything for doing in USES}
