"""Defines the records of what a user has changed in a running search, and reads them.

They are the lines of `steering.jsonl` in the run's folder, in the order in which they were carried
out. A run that nobody has steered lacks the file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from common.json_records import JsonRecord, to_json
from results.jsonl import LineFiles, Lines, read_records
from results.run_hints import restore_hint
from results.store import STEERING, find_lines


class SteeringAction(StrEnum):
    """Names what a user may ask of a running search."""

    STOP = "stop"
    TRY = "try"
    BUDGET = "budget"
    CONCURRENCY = "concurrency"
    END = "end"


@dataclass(frozen=True, kw_only=True, slots=True)
class SteeringRecord(JsonRecord):
    """Holds one change that a user has made to a running search.

    `words` are the user's, `answer` is what the search replied, `at` the date in ISO 8601 and UTC,
    and `session` with `session_s` the session, from 1, and its seconds. `trial` is the trial that
    stops, after its epoch `epoch`, or the one that tries the `params`. Of the limits, the changed
    ones hold the new values: the number of `trials`, the time budget `time_s` in seconds, the
    `gpu_hours`, and the number `at_once` of trials at the same time.
    """

    action: SteeringAction
    words: str
    answer: str
    at: str
    session: int
    session_s: float
    trial: int | None = None
    epoch: int | None = None
    params: dict[str, Any] | None = None
    trials: int | None = None
    time_s: float | None = None
    gpu_hours: float | None = None
    at_once: int | None = None


def read_steering(directory: Path, lines: Lines | None = None) -> list[SteeringRecord]:
    """Returns the changes to the search in `directory`, from the file's `lines` where they have
    been read. Raises `RecordError` naming a damaged line.
    """
    found, remedy = lines or find_lines(directory, STEERING), partial(restore_hint, directory)
    return list(read_records(directory / STEERING, SteeringRecord.from_json, found, remedy))


def add_steering(files: LineFiles, record: SteeringRecord) -> None:
    """Appends a change to the run's `files` and flushes it to the disk."""
    files.open(STEERING).append(to_json(record))


def tried_by_hand(records: Iterable[SteeringRecord]) -> dict[int, Mapping[str, Any]]:
    """Returns the parameters that a user has asked for, by the number of the trial that tries
    them.
    """
    return {
        record.trial: record.params or {}
        for record in records
        if record.action is SteeringAction.TRY and record.trial is not None
    }
