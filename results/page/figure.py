"""What all figures share. Ground, text and grid are coloured by the page: they follow the theme."""

import html
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

PERCENT = ".0%"

SCALE = [[0.0, "#9aa5b1"], [0.5, "#4f8fd0"], [1.0, "#e0533d"]]
"""From the worst to the best, seen on light and on dark ground."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A figure on a page, in pixels.

    `key` names it there, `caption` says how it is read, `width` is the least it needs: where the
    screen has less, it is scrolled. `beside` of them fit beside each other: 1, 2 or 3.
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
    """A part of a page: its figures, and a sentence for each that can't be drawn."""

    key: str
    title: str
    panels: list[Panel]
    notes: list[str]


def plot(x: str, y: str, **layout: Any) -> go.Figure:
    """An empty figure with these axis titles."""
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
    """The distance of ticks on an axis of epochs; `None` leaves it to Plotly, which may halve."""
    return 1 if longest <= 6 else None


def safe(text: object) -> str:
    """A run's text within a figure, where Plotly would read tags."""
    return html.escape(str(text))
