"""Defines what all figures share. The page's style sheet colours background, text and grid, so that
figures follow the theme.
"""

import html
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

PERCENT = ".0%"
"""Axes of fractions show whole per cent, by this format of Plotly's."""

SCALE = [[0.0, "#9aa5b1"], [0.5, "#4f8fd0"], [1.0, "#e0533d"]]
"""This colour scale leads from the worst to the best value, and is visible on light and on dark
background.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Holds one figure of a page; sizes are in pixels.

    `key` is the figure's identifier on the page, and `caption` explains how to read it. `width` is
    the least width that the figure needs; on a narrower screen it scrolls. Up to `beside` panels
    (1, 2 or 3) share a row.
    """

    key: str
    title: str
    caption: str
    figure: go.Figure
    height: int = 380
    width: int = 0
    beside: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Holds a part of a page: its figures, and a sentence for each figure that can't be drawn."""

    key: str
    title: str
    panels: list[Panel]
    notes: list[str]


def plot(x: str, y: str, **layout: Any) -> go.Figure:
    """Returns an empty figure with `x` and `y` as axis titles. Further arguments are properties of
    Plotly's layout.
    """
    figure = go.Figure()
    figure.update_layout(
        xaxis_title_text=safe(x),
        yaxis_title_text=safe(y),
        margin={"l": 56, "r": 12, "t": 8, "b": 44},
        hovermode="closest",
        legend={
            "orientation": "h",
            "yanchor": "bottom",
            "y": 1.0,
            "x": 0.0,
            "traceorder": "normal",
        },
        **layout,
    )
    return figure


def step_of_epochs(longest: int) -> int | None:
    """Returns the distance between ticks on an axis of epochs: 1 for up to 6 epochs, because Plotly
    would also place ticks at halves, and else `None`, which leaves the choice to Plotly.
    """
    return 1 if longest <= 6 else None


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """Holds the unit of a time axis: its name and its length in seconds."""

    name: str
    seconds: float


TIME_UNITS = (
    (120.0, TimeUnit("seconds", 1.0)),
    (7200.0, TimeUnit("minutes", 60.0)),
    (3 * 86_400.0, TimeUnit("hours", 3600.0)),
)
"""Axes up to so many seconds have these units, and longer ones days."""


def time_unit(longest_s: float) -> TimeUnit:
    """Returns the unit in which an axis of times up to `longest_s` seconds is read best."""
    fitting = (unit for most, unit in TIME_UNITS if longest_s <= most)
    return next(fitting, TimeUnit("days", 86_400.0))


def safe(text: object) -> str:
    """Returns a run's text with HTML escaped, because Plotly interprets tags in texts."""
    return html.escape(str(text))
