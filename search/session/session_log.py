"""The sittings of one search: when each began and ended, and how much of the budget is left."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.finalist_store import FINALIST_EPOCHS
from results.store import EPOCHS

Session = dict[str, Any]
"""`started` and `ended` in ISO 8601, UTC; `ended` is `None` while it runs."""


def begin(earlier: list[Session], directory: Path, provenance: dict[str, Any]) -> list[Session]:
    """The sessions with a new one. One that was killed ended with the last recorded epoch."""
    closed = [s if s["ended"] else s | {"ended": _last_epoch_at(s, directory)} for s in earlier]
    return [*closed, {"started": now(), "ended": None, "provenance": provenance}]


def identity(name: str, sessions: list[Session]) -> str:
    """The run's name with the moment it began: the same in all its sittings, and another run's
    only by accident.
    """
    return f"{name}-{_moment(sessions[0]['started']):%Y%m%d%H%M%S}"


def used_seconds(sessions: list[Session]) -> float:
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


def _last_epoch_at(session: Session, directory: Path) -> str:
    paths = [directory / name for name in (EPOCHS, FINALIST_EPOCHS)]
    last = [datetime.fromtimestamp(p.stat().st_mtime, UTC) for p in paths if p.exists()]
    return max([*last, _moment(session["started"])]).isoformat(timespec="seconds")
