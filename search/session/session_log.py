"""The sessions of one search: when each began and ended, and how much of the budget is left."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.finalist_store import FINALIST_EPOCHS
from results.store import EPOCHS

SessionEntry = dict[str, Any]
"""`started` and `ended` in ISO 8601, UTC; `ended` is `None` while it runs."""


def add_session(
    earlier: list[SessionEntry], directory: Path, provenance: dict[str, Any]
) -> list[SessionEntry]:
    """The sessions with a new one. One that was killed ended with the last recorded epoch."""
    closed = [s if s["ended"] else s | {"ended": _last_epoch_at(s, directory)} for s in earlier]
    return [*closed, {"started": now(), "ended": None, "provenance": provenance}]


def run_id(name: str, sessions: list[SessionEntry]) -> str:
    """The run's name with the moment it began: the same in all its sessions, and another run's
    only by accident.
    """
    return f"{name}-{_moment(sessions[0]['started']):%Y%m%d%H%M%S}"


def used_seconds(sessions: list[SessionEntry]) -> float:
    """What the ended sessions took together; time between them doesn't count."""
    return sum(
        (_moment(s["ended"]) - _moment(s["started"])).total_seconds()
        for s in sessions
        if s["ended"]
    )


def now() -> str:
    """This moment, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _last_epoch_at(session: SessionEntry, directory: Path) -> str:
    paths = [directory / name for name in (EPOCHS, FINALIST_EPOCHS)]
    last = [datetime.fromtimestamp(p.stat().st_mtime, UTC) for p in paths if p.exists()]
    return max([*last, _moment(session["started"])]).isoformat(timespec="seconds")
