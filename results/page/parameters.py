"""Draws how the parameters relate to val_top1: all of them at once, each one alone, and their
importance.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution

from results.page.figure import PERCENT, SCALE, Panel, Section, plot, safe
from results.page.formatting import OUTCOMES, WINNER, outcome, percent, value
from results.page.importance import importance_section
from results.page.run_data import Run
from results.records import TrialRecord

FEW = 6
"""An axis with at most this many different values has a tick for each of them."""

MISSING = "–"
"""This text stands for the value of a parameter that a trial doesn't have."""


def parameters(run: Run) -> Section:
    """Returns the page's section with all figures of parameters, and a sentence for each figure
    that can't be drawn.
    """
    names = varied(run)
    notes = [] if run.ranges else ["journal.log is missing: ranges are those of the values tried."]
    panels = [_parallel_panel(run, names)] if names else []
    mattered, why_not = importance_section(run.directory)
    panels += mattered
    notes += why_not
    panels += [_slice_panel(run, name) for name in names]
    return Section(key="parameters", title="Parameters", panels=panels, notes=notes)


def varied(run: Run) -> list[str]:
    """Returns the parameters of which trials with a finished epoch tried at least two values, in
    the order in which the space asks for them.
    """
    tried: dict[str, set[Any]] = {name: set() for name in run.ranges}
    for record in _scored(run):
        for name, item in record.params.items():
            tried.setdefault(name, set()).add(item)
    return [name for name, items in tried.items() if len(items) > 1]


def _scored(run: Run) -> list[TrialRecord]:
    return [record for record in run.trials.values() if record.last_val_top1 is not None]


def _numeric(run: Run, name: str, items: Iterable[Any]) -> bool:
    if name in run.ranges:
        return not isinstance(run.ranges[name], CategoricalDistribution)
    return all(isinstance(i, int | float) and not isinstance(i, bool) for i in items)


def _logarithmic(run: Run, name: str) -> bool:
    return bool(getattr(run.ranges.get(name), "log", False))


def _parallel_panel(run: Run, names: Sequence[str]) -> Panel:
    return Panel(
        key="parallel",
        title="All parameters at once",
        caption="A line a trial, coloured by its latest val_top1. Drag along an axis to keep the "
        f"trials that cross there; a click frees it. {MISSING} is a trial without the parameter.",
        figure=parallel(run, names),
        height=440,
        width=72 * (len(names) + 2),
    )


def parallel(run: Run, names: Sequence[str]) -> go.Figure:
    """Returns parallel coordinates of all trials with a result; the best trials are drawn
    on top.
    """
    records = sorted(_scored(run), key=lambda record: record.last_val_top1 or 0.0)
    top1 = [record.last_val_top1 for record in records]
    dimensions = [_dimension(run, name, [r.params.get(name) for r in records]) for name in names]
    dimensions.append(_straight("epochs", [record.epochs for record in records], value))
    dimensions.append(_straight("val_top1", top1, percent))
    figure = go.Figure()
    line = {"color": top1, "colorscale": SCALE}
    figure.add_parcoords(dimensions=dimensions, line=line, labelangle=-20)
    figure.update_layout(margin={"l": 60, "r": 64, "t": 80, "b": 24})
    return figure


def _straight(label: str, items: Sequence[Any], words: Callable[[Any], str]) -> dict[str, Any]:
    at = _ticks(items)
    return {"label": label, "values": items, "tickvals": at, "ticktext": [words(t) for t in at]}


def _ticks(items: Iterable[float]) -> list[float]:
    """Returns the values themselves where they are at most `FEW`, and else five ticks at equal
    distances.
    """
    found = sorted(set(items))
    if len(found) <= FEW:
        return found
    low, high = found[0], found[-1]
    ticks = [low + share * (high - low) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    whole = all(isinstance(item, int) for item in found)
    return [round(tick) for tick in ticks] if whole else ticks


def _dimension(run: Run, name: str, items: Sequence[Any]) -> dict[str, Any]:
    """Returns one axis of the parallel coordinates. Choices, logarithms and missing values become
    numbers, and the ticks show what they stand for.
    """
    present = [item for item in items if item is not None]
    if not _numeric(run, name, present):
        choices = _choices(present)
        choices = [MISSING, *choices] if len(present) < len(items) else choices
        numbers = [float(choices.index(value(item))) for item in items]
        ticks = {float(index): choice for index, choice in enumerate(choices)}
    else:
        numbers, ticks = _numbers(items, present, logarithmic=_logarithmic(run, name))
    return {
        "label": safe(name),
        "values": numbers,
        "tickvals": list(ticks),
        "ticktext": [safe(text) for text in ticks.values()],
    }


def _numbers(
    items: Sequence[Any], present: Sequence[float], *, logarithmic: bool
) -> tuple[list[float], dict[float, str]]:
    """Returns the values' positions on a linear axis, with missing values below all others, and the
    text of the tick at each position.
    """
    scaled = [math.log10(item) for item in present] if logarithmic else list(present)
    below = min(scaled) - 0.1 * ((max(scaled) - min(scaled)) or 1.0)
    # On a logarithmic axis, two digits are enough to identify a position.
    named = {at: f"{10**at:.2g}" if logarithmic else value(at) for at in _ticks(scaled)}
    if len(present) < len(items):
        named = {below: MISSING} | named
    left = iter(scaled)
    return [below if item is None else next(left) for item in items], named


def _choices(items: Iterable[Any]) -> list[str]:
    """Returns the different values as texts: numbers by size, and then words in
    alphabetical order.
    """
    numeric = (int, float)
    ordered = sorted(
        set(items), key=lambda i: (0, i, "") if isinstance(i, numeric) else (1, 0, str(i))
    )
    return [value(item) for item in ordered]


def _slice_panel(run: Run, name: str) -> Panel:
    return Panel(
        key=f"slice-{name}",
        title=name,
        caption="",
        figure=slice_of(run, name),
        height=220,
        beside=3,
    )


def slice_of(run: Run, name: str) -> go.Figure:
    """Returns a figure of each trial's latest val_top1 over one parameter, coloured by how it
    ended.
    """
    figure = plot("", "val_top1", yaxis_tickformat=PERCENT, showlegend=False)
    records = [record for record in _scored(run) if name in record.params]
    for key, (label, color) in OUTCOMES.items():
        own = [r for r in records if outcome(r) == key and r is not run.winner]
        if own:
            figure.add_scatter(**_dots(run, name, own), marker={"color": color, "opacity": 0.75})
            figure.data[-1].name = label
    if run.winner and name in run.winner.params:
        marker = {"color": WINNER, "size": 13, "symbol": "star"}
        figure.add_scatter(**_dots(run, name, [run.winner]), marker=marker, name="best")
    if not _numeric(run, name, [record.params[name] for record in records]):
        order = [safe(item) for item in _choices(record.params[name] for record in records)]
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=order)
    elif _logarithmic(run, name):
        figure.update_xaxes(type="log")
    figure.update_layout(margin={"t": 4, "b": 30})
    return figure


def _dots(run: Run, name: str, records: Sequence[TrialRecord]) -> dict[str, Any]:
    items = [record.params[name] for record in records]
    numeric = _numeric(run, name, items)
    return {
        "x": items if numeric else [safe(value(item)) for item in items],
        "y": [record.last_val_top1 for record in records],
        "customdata": [record.number for record in records],
        "hovertemplate": "trial %{customdata}: %{y:.1%} at %{x}",
        "mode": "markers",
    }
