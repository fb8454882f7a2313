"""Draws which parameters mattered at each rung, and how the most important ones interact."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import optuna
import plotly.graph_objects as go
from optuna.trial import FrozenTrial

from common.errors import RecordError
from results.analysis.listed_study import study_of
from results.analysis.rung_values import quiet_optuna, trials_at_rungs
from results.importance import (
    MIN_TRIALS,
    REPEATS,
    Comparison,
    Importance,
    Report,
    by_importance,
    importances_at,
)
from results.page.figure import PERCENT, Panel, plot, safe
from results.page.formatting import percent
from results.store import RunError

PAIRED = 3
"""The page shows the interactions of this many parameters, the most important ones."""

RUNGS = ("#56b4e9", "#3a8fd0", "#8a6fd1", "#cc4f8f", "#d55e00", "#b23a3a")
"""The figure draws the rungs in these colours, in their order; after the last colour the first one
follows.
"""


def shuffles(trials: int) -> int:
    """Returns how often a page shuffles and resamples results, chosen so that the page is made in
    seconds.

    This is 99 times for up to 101 trials, as in `results.importance`, and less often for more
    trials, but at least 19 times: then one in twenty parameters without effect stands out from
    noise.
    """
    return max(19, min(REPEATS, 10_000 // max(1, trials)))


def importance_section(directory: Path, repeats: int) -> tuple[list[Panel], list[str]]:
    """Returns panels with the importance among all trials and among their upper quarter, and with
    the interactions, and a sentence for each part that can't be drawn.

    `repeats` is the number of shuffles of the results and of resamples of the trials.
    """
    try:
        rungs = trials_at_rungs(directory)
    except (RunError, RecordError) as error:
        return [], [f"No importance: {error}"]
    report = importances_at(rungs, repeats)
    parts = [
        ("importance", "What mattered", "among all trials that reached the rung", report.overall),
        ("quarter", "Among the best", "among the upper quarter of them", report.upper_quarter),
    ]
    drawable = [part for part in parts if any(each.parameters for each in part[-1])]
    panels = [_importance_panel(*part, repeats, beside=len(drawable)) for part in drawable]
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
    repeats: int,
    *,
    beside: int,
) -> Panel:
    figure = importance(comparisons)
    names = {name for each in comparisons for name in each.parameters or {}}
    return Panel(
        key=key,
        title=title,
        caption=f"Each parameter's part of all importance at each rung, {among}; stopped trials "
        f"count. Filled dots are more than any of {repeats} shuffles of the results gave, open "
        "ones can't be told from noise. Lines: the standard deviation over resampled trials, cut "
        "at 0 % and 100 %.",
        figure=figure,
        height=120 + 26 * len(names),
        beside=beside,
    )


def importance(comparisons: Sequence[Comparison]) -> go.Figure:
    """Returns a figure with one row for each parameter, the most important on top, and one colour
    for each rung.
    """
    figure = plot("part of all importance", "", xaxis_tickformat=PERCENT)
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
    """Returns Plotly's error bars of one spread to each side, cut where a share can't be: below 0
    and above 1.
    """
    return {
        "array": [min(item.spread, 1 - item.share) for item in found],
        "arrayminus": [min(item.spread, item.share) for item in found],
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
        figure = optuna.visualization.plot_rank(study_of(trials), [x, y], target_name="val_top1")
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
