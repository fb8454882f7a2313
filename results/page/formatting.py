"""How pages word numbers, and how a trial ended."""

from typing import Any

from results.analysis.intervals import Interval
from results.records import StopReason, TrialRecord, TrialState

OUTCOMES: dict[str, tuple[str, str]] = {
    "complete": ("complete", "#3a8fd0"),
    "rung": ("stopped: rung", "#8d96a3"),
    "overfitting": ("stopped: overfitting", "#d55e00"),
    "diverged": ("stopped: diverged", "#cc4f8f"),
    "plateau": ("stopped: plateau", "#8a6fd1"),
    "budget": ("stopped: budget", "#a8862a"),
    "memory": ("failed: memory", "#b23a3a"),
    "failed": ("failed", "#b23a3a"),
    "unfinished": ("unfinished", "#56b4e9"),
}
"""By key, in the order in which they are shown: how a trial ended in words, and its colour.

The colours tell apart on light and on dark ground, and to most who see colours otherwise.
"""

WINNER, BASELINE = "#009e73", "#e69f00"
"""Their colours."""


def outcome(record: TrialRecord) -> str:
    """How a trial ended: a key of `OUTCOMES`."""
    if record.state is TrialState.RUNNING:
        return "unfinished"
    if record.state is TrialState.FAILED and record.reason is not StopReason.MEMORY:
        return "failed"
    return str(record.reason or record.state)


def percent(fraction: float | None) -> str:
    """53.5 %; a dash for none."""
    return "–" if fraction is None else f"{100 * fraction:.1f} %"


def points(difference: float) -> str:
    """A difference of two fractions: 20.7 points."""
    return f"{100 * difference:.1f} points"


def span(interval: Interval) -> str:
    """The ends of an interval, in per cent: 51.2 … 55.9 %."""
    return f"{100 * interval.low:.1f} … {100 * interval.high:.1f} %"


def count(number: int, thing: str) -> str:
    """1 trial, 2 trials, 10,000 images."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def value(item: Any) -> str:
    """A parameter's value, floats to three digits."""
    if item is None:
        return "–"
    if isinstance(item, bool):
        return str(item).lower()
    return f"{item:.3g}" if isinstance(item, float) else str(item)


def display_name(number: int, baseline: int | None) -> str:
    """What a trial is called within a sentence."""
    return "the baseline" if number == baseline else f"trial {number}"
