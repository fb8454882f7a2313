"""Draws accuracy against what using a network costs, for searches with several objectives."""

import plotly.graph_objects as go

from results.analysis.pareto import pareto_front, values
from results.page.figure import PERCENT, Panel, Section, plot
from results.page.formatting import OUTCOMES, WINNER
from results.page.run_data import Run
from results.records import TrialRecord

UNITS = {"latency_ms": "latency of one image, ms", "parameters_m": "parameters, millions"}
"""The axes of objectives have these titles."""


def tradeoff(run: Run) -> Section:
    """Returns the page's section with one figure for each objective besides val_top1."""
    front = pareto_front(run.trials, run.objectives)
    panels = [
        Panel(
            key=f"front-{cost}",
            title=f"val_top1 against {cost}",
            caption=f"The line joins the {len(front)} trials of the Pareto front of "
            f"{', '.join(run.objectives)}.",
            figure=scatter(run, front, cost),
            height=360,
            beside=len(run.objectives) - 1,
        )
        for cost in run.objectives[1:]
    ]
    return Section(key="tradeoff", title="Accurate and small", panels=panels, notes=[])


def scatter(run: Run, front: list[TrialRecord], cost: str) -> go.Figure:
    """Returns a figure of all trials that neither failed nor diverged, with val_top1 over `cost`; a
    line joins those on the Pareto front.
    """
    figure = plot(UNITS[cost], "val_top1", yaxis_tickformat=PERCENT)
    sound = [r for r in run.trials.values() if r.trusted and values(r, run.objectives)]
    ordered = sorted(front, key=lambda record: getattr(record, cost))
    others = [record for record in sound if record not in front]
    for records, name, color, mode in (
        (others, "others", OUTCOMES["rung"][1], "markers"),
        (ordered, "Pareto front", WINNER, "lines+markers"),
    ):
        figure.add_scatter(
            x=[getattr(record, cost) for record in records],
            y=[record.last_val_top1 for record in records],
            customdata=[record.number for record in records],
            hovertemplate="trial %{customdata}: %{y:.1%} at %{x:.4g}<extra></extra>",
            mode=mode,
            marker={"color": color, "size": 8},
            name=name,
        )
    return figure
