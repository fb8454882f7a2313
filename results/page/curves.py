"""Draws how trials learned: their curves, the best accuracy so far, and the gap of the baseline and
of the winner.
"""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from results.page.best_so_far import best_so_far
from results.page.figure import (
    PERCENT,
    Panel,
    Section,
    plot,
    step_of_epochs,
)
from results.page.formatting import BASELINE, OUTCOMES, WINNER, outcome, points
from results.page.run_data import Run
from results.records import EpochMetrics, TrialRecord

Part = list[EpochMetrics]
"""A part of a curve is a list of consecutive epochs."""
Curves = list[tuple[int, Part]]
"""Curves are listed with the numbers of their trials."""

WHOLE = ("complete", "unfinished")
"""The curves of trials with these outcomes don't fade out."""

FADING = (0.65, 0.4, 0.18)
"""A stopped trial's curve has these opacities: the first up to its last two segments, and then one
for each of these.
"""

CROWD = 50
"""If an outcome has more curves than this, they are drawn thin and without dots, so that single
curves remain visible.
"""


def learning(run: Run) -> Section:
    """Returns the page's section with all learning curves."""
    panels = [
        Panel(
            key="curves",
            title="Learning curves",
            caption="Every trial's val_top1. The curves of stopped trials fade out where they "
            "were stopped, coloured by why. A click on the legend hides a kind, a double click "
            "shows it alone.",
            figure=learning_curves(run),
            height=460,
        ),
        *_gaps(run),
    ]
    if run.winner:
        best = Panel(
            key="best",
            title="Best so far",
            caption="The val_top1 of the best trial at each moment, over the training time of all "
            "workers added up: two workers pass two minutes in one.",
            figure=best_so_far(run),
            height=320,
        )
        panels.insert(1, best)
    return Section(key="learning", title="Learning", panels=panels, notes=[])


def learning_curves(run: Run) -> go.Figure:
    """Returns a figure of val_top1 over epochs. Each outcome has a few traces, however many trials
    there are.
    """
    figure = plot("epoch", "val_top1", yaxis_tickformat=PERCENT)
    marked = {record.number for record in (run.winner, run.baseline) if record}
    for key in OUTCOMES:
        records = [
            r for n, r in run.trials.items() if outcome(r) == key and r.epochs and n not in marked
        ]
        if records:
            _add_outcome(figure, run, key, records)
    if run.baseline and run.baseline is not run.winner:
        _add_marked(figure, run, run.baseline, "baseline", {"color": BASELINE, "dash": "dash"})
    if run.winner:
        _add_marked(figure, run, run.winner, f"best: trial {run.winner.number}", {"color": WINNER})
    figure.update_xaxes(dtick=step_of_epochs(longest(run)))
    return figure


def longest(run: Run) -> int:
    """Returns the number of epochs of the longest trial."""
    return max(record.epochs for record in run.trials.values())


def _add_outcome(figure: go.Figure, run: Run, key: str, records: Sequence[TrialRecord]) -> None:
    label, color = OUTCOMES[key]
    curves = [(record.number, run.epochs[record.number]) for record in records]
    crowded = len(curves) > CROWD
    parts = [(FADING[0], curves)] if key in WHOLE else _split_to_fade(curves)
    for index, (opacity, pieces) in enumerate(parts):
        # A trial of one epoch has no line, therefore every curve ends with a dot.
        dots = not crowded if key in WHOLE else opacity == FADING[-1]
        figure.add_scatter(
            **_points(pieces),
            mode="lines+markers" if dots else "lines",
            marker={"size": 2 if crowded else 4},
            line={"color": color, "width": 0.7 if crowded else 1.5},
            opacity=opacity,
            name=f"{label} ({len(curves)})",
            legendgroup=key,
            showlegend=index == 0,
        )


def _split_to_fade(curves: Curves) -> list[tuple[float, Curves]]:
    """Splits curves into the three parts that fade out, and returns each part with its opacity."""
    return [
        (opacity, [(number, part(epochs, index)) for number, epochs in curves])
        for index, opacity in enumerate(FADING)
    ]


def part(epochs: Part, index: int) -> Part:
    """Returns one part of a curve: all but its last two segments (index 0), its last segment but
    one (1), or its last segment (2). Neighbouring parts share an epoch.
    """
    end = len(epochs)
    cuts = (max(end - 2, 1), max(end - 1, 1), end)
    first = 0 if index == 0 else cuts[index - 1] - 1
    return epochs[first : cuts[index]]


def _points(curves: Curves) -> dict[str, Any]:
    """Returns the coordinates and hover texts of several curves in one trace, with a gap after
    each.
    """
    x: list[int | None] = []
    y: list[float | None] = []
    trials: list[int | None] = []
    for number, epochs in curves:
        x += [*(m.epoch for m in epochs), None]
        y += [*(m.val_top1 for m in epochs), None]
        trials += [number] * len(epochs) + [None]
    hover = "trial %{customdata}, epoch %{x}: %{y:.1%}<extra></extra>"
    return {"x": x, "y": y, "customdata": trials, "hovertemplate": hover}


def _add_marked(
    figure: go.Figure, run: Run, record: TrialRecord, name: str, line: dict[str, str]
) -> None:
    epochs = run.epochs[record.number]
    figure.add_scatter(
        **_points([(record.number, epochs)]),
        mode="lines+markers",
        marker={"size": 5},
        line={"width": 3.5} | line,
        name=name,
    )


def _gaps(run: Run) -> list[Panel]:
    marked = [(run.baseline, "Baseline", BASELINE)] if run.baseline else []
    if run.winner and run.winner is run.baseline:
        marked = [(run.winner, "The baseline, which is the best", WINNER)]
    elif run.winner:
        marked.append((run.winner, f"Best: trial {run.winner.number}", WINNER))
    seen = [m for record, _, _ in marked for m in run.epochs[record.number]]
    highest = max((max(m.train_top1, m.val_top1 or 0.0) for m in seen), default=1.0)
    return [
        Panel(
            key=f"gap{record.number}",
            title=title,
            caption=f"{_gap_words(run.epochs[record.number])} The gap, shaded, is what it knows "
            "of its training images alone; both are measured without augmentation.",
            figure=_gap(run.epochs[record.number], color, highest),
            height=320,
            beside=2,
        )
        for record, title, color in marked
    ]


def _gap_words(epochs: Part) -> str:
    last = epochs[-1]
    return f"After epoch {last.epoch} the gap is {points(last.gap or 0.0)}."


def _gap(epochs: Part, color: str, highest: float) -> go.Figure:
    figure = plot("epoch", "top-1", yaxis_tickformat=PERCENT)
    figure.update_yaxes(range=[0, min(1.0, 1.05 * highest)])
    figure.update_xaxes(dtick=step_of_epochs(len(epochs)))
    add_curve(figure, epochs, "val_top1", color, name="val")
    fill = {"fill": "tonexty", "fillcolor": _faint(color)}
    add_curve(figure, epochs, "train_top1", color, name="train", **fill)
    return figure


def add_curve(figure: go.Figure, epochs: Part, field: str, color: str, **style: Any) -> None:
    """Adds a trial's `val_top1`, or dotted its `train_top1`, over epochs to `figure`."""
    dash = "solid" if field == "val_top1" else "dot"
    figure.add_scatter(
        x=[m.epoch for m in epochs],
        y=[getattr(m, field) for m in epochs],
        mode="lines+markers",
        line={"color": color, "dash": dash, "width": 2.5},
        hovertemplate="epoch %{x}: %{y:.1%}",
        **style,
    )


def _faint(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"
