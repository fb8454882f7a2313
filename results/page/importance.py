"""Draws which parameters mattered at each rung, and how the most important ones interact."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import optuna
import plotly.graph_objects as go
from optuna.trial import FrozenTrial

from common.errors import RecordError
from results.analysis.explained_variance import Importance
from results.analysis.rung_values import quiet_optuna, trials_at_rungs
from results.importance import MIN_TRIALS, Comparison, Report, by_importance, importances_at
from results.page.figure import PERCENT, Panel, plot, safe
from results.page.formatting import percent
from results.store import RunError

PAIRED = 3
"""The page shows the interactions of this many parameters, the most important ones."""

RUNGS = ("#56b4e9", "#3a8fd0", "#8a6fd1", "#cc4f8f", "#d55e00", "#b23a3a")
"""The figure draws the rungs in these colours, in their order; after the last colour the first one
follows.
"""


def importance_section(directory: Path) -> tuple[list[Panel], list[str]]:
    """Returns panels with the importance among all trials and among their upper quarter, and with
    the interactions, and a sentence for each part that can't be drawn.
    """
    try:
        rungs = trials_at_rungs(directory)
    except (RunError, RecordError) as error:
        return [], [f"No importance: {error}"]
    report = importances_at(rungs)
    parts = [
        ("importance", "What mattered", "among all trials that reached the rung", report.overall),
        ("quarter", "Among the best", "among the upper quarter of them", report.upper_quarter),
    ]
    drawable = [part for part in parts if any(each.parameters for each in part[-1])]
    panels = [_importance_panel(*part, beside=len(drawable)) for part in drawable]
    if panels:
        return panels + _interactions(rungs, report), []
    most = max((each.trials for each in report.overall), default=0)
    return [], [
        f"No importance and no interactions: {MIN_TRIALS} trials of different val_top1 at one rung "
        f"are needed, and {most} came to the first."
    ]


def _importance_panel(
    key: str,
    title: str,
    among: str,
    comparisons: Sequence[Comparison],
    *,
    beside: int,
) -> Panel:
    figure = importance(comparisons)
    names = {name for each in comparisons for name in each.parameters or {}}
    return Panel(
        key=key,
        title=title,
        caption="The part of the differences in val_top1 that a parameter explains by itself at "
        f"each rung, {among}; stopped trials count. Lines: the 98 % interval. Filled dots: it "
        "begins above 0; open ones can't be told from noise. What the search has settled explains "
        "little.",
        figure=figure,
        height=120 + 26 * len(names),
        beside=beside,
    )


def importance(comparisons: Sequence[Comparison]) -> go.Figure:
    """Returns a figure with one row for each parameter, the most important on top, and one colour
    for each rung.
    """
    figure = plot("part of the differences explained", "", xaxis_tickformat=PERCENT)
    drawable = [each for each in comparisons if each.parameters]
    for index, each in enumerate(drawable):
        found = each.parameters or {}
        figure.add_scatter(
            x=[item.share for item in found.values()],
            y=[safe(name) for name in found],
            error_x=_whiskers(list(found.values())),
            customdata=["" if i.above_noise else ", not told from noise" for i in found.values()],
            hovertemplate="%{y}: %{x:.0%}%{customdata}",
            mode="markers",
            cliponaxis=False,
            marker={
                "color": RUNGS[index % len(RUNGS)],
                "size": 9,
                "symbol": ["circle" if i.above_noise else "circle-open" for i in found.values()],
            },
            name=f"epoch {each.epoch} ({each.trials})",
        )
    order = [safe(name) for name in by_importance(drawable)]
    figure.update_xaxes(rangemode="nonnegative")
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1], automargin=True)
    return figure


def _whiskers(found: Sequence[Importance]) -> dict[str, object]:
    """Returns Plotly's error bars, which end where the intervals do."""
    return {
        "array": [item.high - item.share for item in found],
        "arrayminus": [item.share - item.low for item in found],
        "symmetric": False,
        "width": 0,
        "thickness": 1,
    }


def _interactions(rungs: Mapping[int, Sequence[FrozenTrial]], report: Report) -> list[Panel]:
    """Returns a panel for each pair of the most important parameters, at the first rung for which
    an importance is known.
    """
    first = next((each for each in report.overall if each.parameters), None)
    if first is None:
        return []
    trials = rungs[first.epoch]
    pairs = combinations(list(first.parameters or {})[:PAIRED], 2)
    panels = []
    for x, y in pairs:
        both = [trial for trial in trials if x in trial.params and y in trial.params]
        if len(both) > 1:
            panels.append(_pair_panel(both, x, y, first.epoch))
    return panels


def _pair_panel(trials: Sequence[FrozenTrial], x: str, y: str, epoch: int) -> Panel:
    return Panel(
        key=f"pair-{x}-{y}",
        title=f"{x} and {y}",
        caption=f"Rank of val_top1 after epoch {epoch}, when all trials were equally long.",
        figure=pair(trials, x, y),
        height=300,
        beside=3,
    )


def pair(trials: Sequence[FrozenTrial], x: str, y: str) -> go.Figure:
    """Returns Optuna's rank plot of two parameters that all of `trials` have."""
    with quiet_optuna():
        study = optuna.create_study(direction="maximize")
        study.add_trials(trials)
        figure = optuna.visualization.plot_rank(study, [x, y], target_name="val_top1")
    # Optuna's hover texts number the trials anew, and Plotly would interpret tags in them.
    dots = figure.data[0]
    dots.update(
        x=[safe(item) if isinstance(item, str) else item for item in dots.x],
        y=[safe(item) if isinstance(item, str) else item for item in dots.y],
        customdata=[trial.value for trial in trials],
        hovertext=None,
        hovertemplate="%{x}, %{y}: %{customdata:.1%}<extra></extra>",
    )
    scale = figure.data[1].marker.colorbar
    scale.ticktext = [_in_percent(text) for text in scale.ticktext]
    figure.update_layout(title=None, margin={"l": 56, "r": 12, "t": 8, "b": 44})
    figure.update_xaxes(title_text=safe(x), title_standoff=4)
    figure.update_yaxes(title_text=safe(y), title_standoff=4)
    return figure


def _in_percent(text: str) -> str:
    """Returns a label of Optuna's scale, such as «25% (0.22055)», with its accuracy as the axes of
    a page have it, in place of the rank's share: «22.1 %», and «max. 29.5 %».
    """
    rank, _, accuracy = text.rstrip(")").partition(" (")
    shown = percent(float(accuracy))
    return shown if rank.endswith("%") else f"{rank} {shown}"
