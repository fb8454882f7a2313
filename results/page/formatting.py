"""Formats numbers for the pages, and words how a trial ended."""

from typing import Any

from common.text import format_value
from results.analysis.intervals import Interval
from results.records import StopReason, TrialRecord, TrialState

OUTCOMES: dict[str, tuple[str, str]] = {
    "complete": ("complete", "#3a8fd0"),
    "rung": ("stopped: rung", "#8d96a3"),
    "overfitting": ("stopped: overfitting", "#d55e00"),
    "diverged": ("stopped: diverged", "#cc4f8f"),
    "plateau": ("stopped: plateau", "#8a6fd1"),
    "budget": ("stopped: budget", "#a8862a"),
    "by_hand": ("stopped: by hand", "#5f7f4f"),
    "memory": ("failed: memory", "#b23a3a"),
    "failed": ("failed", "#b23a3a"),
    "unfinished": ("unfinished", "#56b4e9"),
}
"""Each key stands for a way in which a trial can end. Its label and colour are shown on pages, in
this order.

The colours are distinct on light and on dark background, also for readers with the common kinds of
colour blindness.
"""

WINNER, BASELINE = "#009e73", "#e69f00"
"""On all pages, the winner and the baseline have these colours."""


def outcome(record: TrialRecord) -> str:
    """Returns how a trial ended, as a key of `OUTCOMES`."""
    if record.state is TrialState.RUNNING:
        return "unfinished"
    if record.state is TrialState.FAILED and record.reason is not StopReason.MEMORY:
        return "failed"
    return str(record.reason or record.state)


def percent(fraction: float | None) -> str:
    """Formats a fraction in per cent, as in 53.5 %, and `None` as a dash."""
    return "–" if fraction is None else f"{100 * fraction:.1f} %"


def points(difference: float) -> str:
    """Formats a difference of two fractions in percentage points, as in 20.7 points."""
    return f"{100 * difference:.1f} points"


def span(interval: Interval) -> str:
    """Formats the ends of an interval of fractions in per cent, as in 51.2 … 55.9 %."""
    return f"{100 * interval.low:.1f} … {100 * interval.high:.1f} %"


def count(number: int, thing: str) -> str:
    """Formats a number with the noun that it counts, as in 1 trial, 2 trials or 10,000 images."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def value(item: Any) -> str:
    """Formats a parameter's value: floats with three significant digits, and `None` as a dash."""
    return format_value(item, digits=3)


def display_name(number: int, baseline: int | None) -> str:
    """Returns the name of a trial within a sentence: «the baseline» or «trial N»."""
    return "the baseline" if number == baseline else f"trial {number}"
