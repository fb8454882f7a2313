"""Reads what a search expected to gain by going on, which its trials' records hold."""

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
    `ten_upper` are those of ten more trials.
    """

    ended: int
    unit: str
    ten: float | None = None
    ten_upper: float | None = None
    hour: float | None = None
    hour_upper: float | None = None


def latest_gain(trials: Iterable[TrialRecord], first: int = 0) -> ExpectedGain | None:
    """Returns the latest estimate in the records of the trials from number `first` on, or `None`
    where there is none.
    """
    found = [ExpectedGain.from_json(t.gain) for t in trials if t.gain and t.number >= first]
    return max(found, key=lambda gain: gain.ended, default=None)


def describe_gain(gain: ExpectedGain | None) -> str:
    """Returns an estimate in words, in points of val_top1."""
    if gain is None:
        return f"not known before {FEWEST} trials have ended"
    parts = [
        f"{name} {100 * expected:.2f} points (90 %: ≤ {100 * upper:.2f})"
        for name, expected, upper in (
            (f"another {gain.unit}", gain.hour, gain.hour_upper),
            ("ten more trials", gain.ten, gain.ten_upper),
        )
        if expected is not None and upper is not None
    ]
    return "; ".join(parts)


def is_enough(gain: ExpectedGain | None, min_gain: float) -> bool:
    """Returns whether a search with `--min-gain` ends by this estimate; 0 never ends one."""
    return gain is not None and gain.hour_upper is not None and gain.hour_upper < min_gain


def gain_of_run(
    manifest: Mapping[str, Any], trials: Iterable[TrialRecord]
) -> tuple[ExpectedGain | None, str]:
    """Returns a run's latest estimate, or `None`, and why the search has ended by `--min-gain`, or
    an empty text where it hasn't. Older runs have neither.
    """
    min_gain = manifest.get("options", {}).get("min_gain", 0.0)
    first = max((each["first"] for each in manifest.get("horizons", ())), default=0)
    gain = latest_gain(trials, first)
    if gain is None or not is_enough(gain, min_gain):
        return gain, ""
    return gain, describe_end(gain, min_gain)


def describe_end(gain: ExpectedGain, min_gain: float) -> str:
    """Returns the sentence on why a search ends by `--min-gain`, without its full stop."""
    upper = 100 * (gain.hour_upper or 0.0)
    return (
        f"another {gain.unit} would gain at most {upper:.2f} points of val_top1 (90 %), less than "
        f"--min-gain {min_gain:g}"
    )
