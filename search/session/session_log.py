"""Records when each session of a search began and ended, and how long it took.

Dates come from the machine's clock, which may be set while a search runs. What counts towards a
budget is measured with a clock that nobody sets.
"""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from results.analysis.session_times import GpuTime
from results.jsonl import read_lines
from results.run_hints import restore_hint
from results.store import EPOCHS, FINALIST_EPOCHS, SCREENING_EPOCHS, find_lines

SessionEntry = dict[str, Any]
"""An entry holds `started` and `ended` in ISO 8601 and UTC, the seconds `used_s` between them, the
`GpuTime`, the session's `provenance`, and whether the search was `finished` at its end, so that
nothing was left to train. `ended` is `None` while the session runs; a killed session lacks
`finished`, and entries of older versions lack it, `used_s` and the GPUs' time. `ended_by` holds the
reason where `--min-gain` or a user has ended the search.
"""


def add_session(
    earlier: list[SessionEntry], directory: Path, provenance: dict[str, Any]
) -> list[SessionEntry]:
    """Returns the sessions and a new one. A session that was killed ends with its last recorded
    epoch. Raises `RecordError` for a damaged line of epochs.
    """
    closed = [
        entry if entry["ended"] else entry | _last_epoch(entry, number, directory)
        for number, entry in enumerate(earlier, 1)
    ]
    return [*closed, {"started": now(), "ended": None, "provenance": provenance}]


def run_id(name: str, sessions: list[SessionEntry]) -> str:
    """Returns the run's name with the moment at which it began. All sessions of the run share this
    id, and other runs have another one except by coincidence.
    """
    return f"{name}-{_moment(sessions[0]['started']):%Y%m%d%H%M%S}"


def now() -> str:
    """Returns the present time, to the second, in ISO 8601 and UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _last_epoch(entry: SessionEntry, number: int, directory: Path) -> dict[str, Any]:
    """Returns when the killed session with this number recorded its last epoch: the date, and the
    seconds since its beginning where its epochs hold them.
    """
    names = (EPOCHS, FINALIST_EPOCHS, SCREENING_EPOCHS)
    paths = [path for name in names if (path := directory / name).exists()]
    dates = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in paths]
    ended = max([*dates, _moment(entry["started"])]).isoformat(timespec="seconds")
    remedy = partial(restore_hint, directory)
    lines = [
        line
        for path in paths
        for line in read_lines(path, find_lines(directory, path.name), remedy)
    ]
    own = [line for line in lines if line.get("session") == number]
    if not own and any("session" not in line for line in lines):  # an older version's session
        return {"ended": ended}
    last = max(
        own,
        key=lambda line: (float(line["session_s"]), float(line.get("gpu_s", 0.0))),
        default={"session_s": 0.0, **GpuTime().to_record()},
    )
    gpu_time = GpuTime.from_record(last)
    return {
        "ended": ended,
        "used_s": float(last["session_s"]),
        **(gpu_time.to_record() if gpu_time else {}),
    }
