"""Records when each session of a search began and ended, and sums up the time that they took."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from results.finalist_store import FINALIST_EPOCHS
from results.store import EPOCHS

SessionEntry = dict[str, Any]
"""An entry holds `started` and `ended` in ISO 8601 and UTC, and the session's `provenance`. `ended`
is `None` while the session runs.
"""


def add_session(
    earlier: list[SessionEntry], directory: Path, provenance: dict[str, Any]
) -> list[SessionEntry]:
    """Returns the sessions and a new one. A session that was killed gets the time of the last
    recorded epoch as its end.
    """
    closed = [s if s["ended"] else s | {"ended": _last_epoch_at(s, directory)} for s in earlier]
    return [*closed, {"started": now(), "ended": None, "provenance": provenance}]


def run_id(name: str, sessions: list[SessionEntry]) -> str:
    """Returns the run's name with the moment at which it began. All sessions of the run share this
    id, and other runs have another one except by coincidence.
    """
    return f"{name}-{_moment(sessions[0]['started']):%Y%m%d%H%M%S}"


def used_seconds(sessions: list[SessionEntry]) -> float:
    """Returns the seconds that the ended sessions took together, without the time between them."""
    return sum(
        (_moment(s["ended"]) - _moment(s["started"])).total_seconds()
        for s in sessions
        if s["ended"]
    )


def now() -> str:
    """Returns the present time, to the second, in ISO 8601 and UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _last_epoch_at(session: SessionEntry, directory: Path) -> str:
    paths = [directory / name for name in (EPOCHS, FINALIST_EPOCHS)]
    last = [datetime.fromtimestamp(p.stat().st_mtime, UTC) for p in paths if p.exists()]
    return max([*last, _moment(session["started"])]).isoformat(timespec="seconds")
