"""Reads what a search expected to gain by going on, which its trials' records hold."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from common.json_records import JsonRecord
from results.records import TrialRecord

FEWEST = 10
"""There is no estimate before this many trials have ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedGain(JsonRecord):
    """Holds an estimate of how much further trials would gain in val_top1 of the configuration
    handed over, as fractions.

    It was made when `ended` trials of the present length had ended. `hour` is the expected gain of
    one more `unit`, a GPU-hour or a core-hour, and `hour_upper` the upper end of its 90 % interval,
    which begins at 0; both are `None` before the search has taken such an hour. `ten` and
    `ten_upper` are those of ten more trials. `epochs` is how many epochs the search's trials had
    recorded then: other than `ended`, this number only rises.
    """

    ended: int
    unit: str
    ten: float | None = None
    ten_upper: float | None = None
    hour: float | None = None
    hour_upper: float | None = None
    epochs: int = 0

    @property
    def bound(self) -> float | None:
        """Returns what another hour gains at most, by expectation as well as with 90 % probability,
        or `None` where that isn't known. The expectation of a skew distribution may be the larger.
        """
        if self.hour is None or self.hour_upper is None:
            return None
        return max(self.hour, self.hour_upper)


def latest_gain(trials: Iterable[TrialRecord], first: int = 0) -> ExpectedGain | None:
    """Returns the latest estimate in the records of the trials from number `first` on, or `None`
    where there is none.
    """
    return last_made(ExpectedGain.from_json(t.gain) for t in trials if t.gain and t.number >= first)


def last_made(gains: Iterable[ExpectedGain]) -> ExpectedGain | None:
    """Returns the estimate that was made last, or `None` where there is none."""
    return max(gains, key=lambda gain: (gain.epochs, gain.ended), default=None)


def describe_gain(gain: ExpectedGain | None, ended: int = 0) -> str:
    """Returns an estimate in words, in points of val_top1, or why there is none after the end of
    `ended` trials. The upper ends in it are never below the expectations.
    """
    if gain is None:
        return f"not known {'yet' if ended >= FEWEST else f'before {FEWEST} trials have ended'}"
    parts = [
        f"{name} {100 * expected:.2f} points (90 %: ≤ {100 * max(upper, expected):.2f})"
        for name, expected, upper in (
            (f"another {gain.unit}", gain.hour, gain.hour_upper),
            ("ten more trials", gain.ten, gain.ten_upper),
        )
        if expected is not None and upper is not None
    ]
    return "; ".join(parts)


def is_enough(gain: ExpectedGain | None, min_gain: float) -> bool:
    """Returns whether a search with `--min-gain` ends by this estimate: the expected gain of an
    hour and its upper end lie below it; 0 never ends one.
    """
    return gain is not None and gain.bound is not None and gain.bound < min_gain


def gain_of_run(
    manifest: Mapping[str, Any], trials: Iterable[TrialRecord]
) -> tuple[ExpectedGain | None, str]:
    """Returns a run's latest estimate, or `None`, and why the search has ended by `--min-gain`, or
    an empty text where it hasn't, or where all of its trials had begun. Older runs have neither.
    """
    options, found = manifest.get("options", {}), list(trials)
    min_gain = options.get("min_gain", 0.0)
    all_begun = len(found) >= options.get("trials", math.inf)
    first = max((each["first"] for each in manifest.get("horizons", ())), default=0)
    gain = latest_gain(found, max(first, manifest.get("searched", {}).get("since", 0)))
    if gain is None or all_begun or not is_enough(gain, min_gain):
        return gain, ""
    return gain, describe_end(gain, min_gain)


def describe_end(gain: ExpectedGain, min_gain: float) -> str:
    """Returns the sentence on why a search ends by `--min-gain`, without its full stop."""
    points = 100 * (gain.bound or 0.0)
    return (
        f"another {gain.unit} would gain at most {points:.2f} points of val_top1 (90 %), less than "
        f"--min-gain {min_gain:g}"
    )


def advise_less(gain: ExpectedGain) -> str:
    """Returns the options with which a search that ended by this estimate goes on. The threshold in
    them is rounded down, so that the estimate doesn't lie below it.
    """
    less = math.floor(1e4 * (gain.bound or 0.0)) / 1e4
    return f"--min-gain {less:g} or less, or 0" if less else "--min-gain 0"
