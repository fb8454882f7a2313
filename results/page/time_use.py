"""Draws how many trials each rung let through, and what the workers' time was spent on."""

from collections.abc import Iterable, Mapping, Sequence

import plotly.graph_objects as go

from common.text import format_duration
from results.analysis.machine_use import MachineUse
from results.page.curves import longest
from results.page.figure import PERCENT, Panel, Section, plot, step_of_epochs, time_unit
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
"""A worker's time is divided into these uses, each drawn in its colour."""

MACHINE = {
    "processor": ("processor", "#3a8fd0"),
    "memory": ("memory", "#8d96a3"),
    "gpu": ("GPU", "#d55e00"),
    "gpu_memory": ("GPU memory", "#cc4f8f"),
}
"""The figure of the machine has these lines: the label and the colour of each share."""

FINALISTS, SCREENING = "finalists", "screening"
"""In the figure of time, the bars of the trainings beside the trials have these labels."""


def time_section(run: Run) -> Section:
    """Returns the page's section with two figures: how many trials trained each epoch, and the
    hours by use.
    """
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
    if run.machine_use:
        panels.append(
            Panel(
                key="machine",
                title="The machine",
                caption="What was in use of the machine that ran the search, other programs "
                "included, at the end of each epoch; the processor's share is the mean since the "
                "end before.",
                figure=machine(run.machine_use),
                height=280,
            )
        )
    return Section(key="spending", title="Epochs and time", panels=panels, notes=[])


def machine(use: Sequence[tuple[float, MachineUse]]) -> go.Figure:
    """Returns a figure of a machine's shares in use over the search's time."""
    unit = time_unit(max((at_s for at_s, _ in use), default=0.0))
    figure = plot(f"{unit.name} of the search", "in use", yaxis_tickformat=PERCENT)
    for name, (label, color) in MACHINE.items():
        shares = [getattr(each, name) for _, each in use]
        if any(share is not None for share in shares):
            figure.add_scatter(
                x=[at_s / unit.seconds for at_s, _ in use],
                y=shares,
                mode="lines+markers",
                marker={"size": 3},
                line={"color": color, "width": 1.5},
                name=label,
            )
    figure.update_yaxes(range=[0, 1.02])
    return figure


def rungs(run: Run) -> list[int]:
    """Returns the epochs after which trials were stopped because of their rank."""
    stopped = (r for r in run.trials.values() if r.reason is StopReason.RUNG)
    return sorted({record.epochs for record in stopped})


def _stops(run: Run) -> str:
    found = ", ".join(str(rung) for rung in rungs(run))
    return f"; dotted: the rungs that stopped some, after epoch {found}" if found else ""


def survival(run: Run) -> go.Figure:
    """Returns a figure with one stacked bar for each epoch: how many trials trained it, by how they
    ended.
    """
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
    """Returns the seconds of these epochs by `USES`.

    Loading is the time spent waiting for batches; older records don't contain it, and there it is
    part of training. Starting is the time before an epoch's first optimizer step without that
    waiting.
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
    """Returns seconds by the label of the trials' outcome and by use; the trainings of the
    screening and of the finalists have entries of their own.
    """
    found = {}
    for key, (label, _) in OUTCOMES.items():
        own = [m for number, m in run.recorded if outcome(run.trials[number]) == key]
        if own:
            found[label] = seconds_by_use(own)
    if run.screening_epochs:
        found[SCREENING] = seconds_by_use(run.screening_epochs)
    if run.finalist_epochs:
        found[FINALISTS] = seconds_by_use(run.finalist_epochs)
    return found


def times(run: Run) -> go.Figure:
    """Returns a figure with one stacked bar of time for each outcome."""
    found = times_by_outcome(run)
    unit = time_unit(max((sum(each.values()) for each in found.values()), default=0.0))
    figure = plot(f"{unit.name} of all workers", "", barmode="stack")
    for doing, color in USES.items():
        seconds = [each[doing] for each in found.values()]
        if not any(seconds):
            continue
        figure.add_bar(
            x=[each / unit.seconds for each in seconds],
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
    unknown = sum(m.loading_s is None for m in epochs)
    more = f" {count(unknown, 'epoch')} didn't record loading: there it is part of training."
    return f"By how trials ended: {parts}.{more if unknown else ''}"


def _total(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Returns the share of each use in all of the time."""
    found = [dict(part) for part in parts]
    everything = sum(sum(part.values()) for part in found) or 1.0
    return {doing: sum(part[doing] for part in found) / everything for doing in USES}
