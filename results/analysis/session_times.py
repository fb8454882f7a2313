"""Sums up the time that a run's sessions took, from its manifest."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any


def used_seconds(sessions: Iterable[Mapping[str, Any]]) -> float:
    """Returns the seconds that the ended sessions took together, without the time between them.

    Sessions of older versions recorded only two dates, between which the machine's clock may have
    been set; one that seems to have ended before it began counts as 0 s.
    """
    return sum(_seconds(entry) for entry in sessions if entry.get("ended"))


def _seconds(entry: Mapping[str, Any]) -> float:
    if "used_s" in entry:
        return float(entry["used_s"])
    began, ended = (datetime.fromisoformat(entry[key]) for key in ("started", "ended"))
    return max((ended - began).total_seconds(), 0.0)
