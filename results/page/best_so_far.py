"""Draws the accuracy of the best trial so far, over the time of training."""

from dataclasses import dataclass, replace

import plotly.graph_objects as go

from common.text import format_duration
from results.analysis.ranking import rank_key
from results.page.figure import PERCENT, TimeUnit, plot, time_unit
from results.page.formatting import BASELINE, OUTCOMES, WINNER, percent
from results.page.run_data import Run
from results.records import TrialRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Records that `trial` was the best one with the accuracy `top1`, a fraction, after so many
    `seconds` of training added up over all workers.
    """

    seconds: float
    top1: float
    trial: int


def progress(run: Run) -> list[Step]:
    """Returns every moment at which another trial became the best, or the best one's val_top1
    changed, which may also have fallen. Trials that failed or diverged in the end are left out.
    """
    steps: list[Step] = []
    best, latest, seconds = -1, dict[int, TrialRecord](), _screening_s(run)
    for number, metrics in run.recorded:
        seconds += metrics.wall_s
        if not run.trials[number].trusted or metrics.val_top1 is None:
            continue
        latest[number] = replace(run.trials[number], last_val_top1=metrics.val_top1)
        if number == best:  # it may have fallen behind another one
            best = min(latest.values(), key=rank_key).number
        elif best < 0 or rank_key(latest[number]) < rank_key(latest[best]):
            best = number
        top1 = latest[best].last_val_top1 or 0.0
        if not steps or (best, top1) != (steps[-1].trial, steps[-1].top1):
            steps.append(Step(seconds=seconds, top1=top1, trial=best))
    return steps


def seconds_of_trials(run: Run) -> float:
    """Returns the seconds of all trials and of the short trainings before them, added up."""
    return _screening_s(run) + sum(metrics.wall_s for _, metrics in run.recorded)


def _screening_s(run: Run) -> float:
    return sum(metrics.wall_s for metrics in run.screening_epochs)


def best_so_far(run: Run) -> go.Figure:
    """Returns a figure of the best val_top1 over the time of training, with horizontal lines for
    the baseline's and the published accuracy.
    """
    unit = time_unit(seconds_of_trials(run))
    figure = plot(f"{unit.name} of training", "val_top1", yaxis_tickformat=PERCENT)
    add_progress(figure, run, unit, name="best so far", color=WINNER)
    if run.baseline and run.baseline.trusted and run.baseline.last_val_top1 is not None:
        level = run.baseline.last_val_top1
        _add_level(figure, level, f"baseline {percent(level)}", BASELINE)
    published = (run.manifest.get("published") or {}).get("val_top1")
    if published is not None:
        _add_level(figure, published, f"published {percent(published)}", OUTCOMES["plateau"][1])
    return figure


def add_progress(figure: go.Figure, run: Run, unit: TimeUnit, *, name: str, color: str) -> None:
    """Adds the best val_top1 so far of a run to `figure`, as a step line that extends to the end of
    the run's trials, over the time in `unit`. A run in which no trial has succeeded has no line.
    """
    steps = progress(run)
    if not steps:
        return
    steps.append(replace(steps[-1], seconds=seconds_of_trials(run)))
    figure.add_scatter(
        x=[step.seconds / unit.seconds for step in steps],
        y=[step.top1 for step in steps],
        customdata=[(step.trial, format_duration(step.seconds)) for step in steps],
        hovertemplate="%{customdata[1]}: %{y:.1%}, trial %{customdata[0]}<extra></extra>",
        mode="lines+markers",
        marker={"size": 5},
        line={"shape": "hv", "width": 2.5, "color": color},
        name=name,
    )


def _add_level(figure: go.Figure, level: float, name: str, color: str) -> None:
    figure.add_hline(y=level, line={"color": color, "dash": "dash", "width": 1.5})
    # A horizontal line doesn't appear in the legend, therefore an empty trace of the same style
    # is added.
    line = {"color": color, "dash": "dash", "width": 1.5}
    figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=name)
