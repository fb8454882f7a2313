"""Describes a search to the commands of `--on-end` and `--on-best`: as JSON on their standard input
and as variables of their environment.

The names and their meaning stay as they are within a `schema_version`; a version may get more.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from results.records import TrialRecord

SCHEMA_VERSION = 1
"""The JSON for a command contains this version."""


LONGEST = 4_000
"""A variable has at most so many characters; the JSON has the whole text."""


class Happening(StrEnum):
    """Names what has happened: the search is over, or a trial has ended as the best so far."""

    END = "end"
    BEST = "best"


class End(StrEnum):
    """Names how a search is over: in order, by a signal, or by an error."""

    ENDED = "ended"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """Holds the best trial: its number, its val_top1 after its latest epoch, the number of its
    epochs, its parameters, and whether it is the baseline.
    """

    trial: int
    val_top1: float | None
    epochs: int
    params: dict[str, Any]
    baseline: bool

    @classmethod
    def of(cls, record: TrialRecord, *, baseline: bool) -> "Best":
        """Returns what a trial's record says."""
        return cls(
            trial=record.number,
            val_top1=record.last_val_top1,
            epochs=record.epochs,
            params=dict(record.params),
            baseline=baseline,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutcome:
    """Holds what a command is told.

    `outcome`, `exit_code` and, after a failure, `error` are there at the end only. `trials` counts
    those that have begun, of `trials_planned`. `best` is `None` where no trial has a result, and
    `baseline_val_top1` where the baseline has none. `best_file` and `report` are paths, or `None`
    where they aren't written. `resume_command` goes on with the search.
    """

    event: Happening
    name: str
    run: str
    space: str
    dataset: str
    trials: int
    trials_planned: int
    best: Best | None
    baseline_val_top1: float | None
    resume_command: str
    outcome: End | None = None
    exit_code: int | None = None
    error: str | None = None
    best_file: str | None = None
    report: str | None = None
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Returns the outcome as one JSON object, without NaN."""
        return json.dumps(asdict(self), allow_nan=False, indent=1) + "\n"

    def environment(self) -> dict[str, str]:
        """Returns the variables by name; one without a value is an empty text."""
        values = {
            "event": self.event,
            "outcome": self.outcome,
            "name": self.name,
            "run": self.run,
            "exit_code": self.exit_code,
            "error": self.error,
            "trials": self.trials,
            "trials_planned": self.trials_planned,
            "best_trial": self.best.trial if self.best else None,
            "best_val_top1": self.best.val_top1 if self.best else None,
            "baseline_val_top1": self.baseline_val_top1,
            "best_file": self.best_file,
            "report": self.report,
            "resume_command": self.resume_command,
        }
        # A variable can't hold NUL, nor more than 128 KiB (Linux), either of which an error may.
        texts = {key: "" if each is None else str(each) for key, each in values.items()}
        short = {key: text.replace("\0", " ")[:LONGEST] for key, text in texts.items()}
        return {f"SEARCH_{key.upper()}": text for key, text in short.items()}


def existing(path: Path) -> str | None:
    """Returns the absolute path of a file, or `None` where it doesn't exist."""
    return str(path.absolute()) if path.is_file() else None
