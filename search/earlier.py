"""Trials of earlier runs that teach this one's sampler, and the run's own copy of them.

They stay out of the study: its trials, their numbers and its rungs are its own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from results.store import RunError, write_atomic
from search.evidence import Evidence, after_shares

EVIDENCE = "evidence.jsonl"
"""A run's own copy: it goes on also when the earlier runs are gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierTrial:
    """One trial of an earlier run; `origin` says which, for people.

    `params` are in this run's parameters and in their ranges; `values` are val_top1 by epoch, as
    far as it was trained, and `epochs` is where its learning-rate schedule ended.
    """

    origin: str
    params: Mapping[str, Any]
    values: Mapping[int, float]
    epochs: int

    @classmethod
    def from_json(cls, line: str) -> Self:
        """One line of `EVIDENCE`, read back."""
        value = json.loads(line)
        return cls(**{**value, "values": {int(k): v for k, v in value["values"].items()}})

    def evidence(self, marks: Sequence[int]) -> Evidence:
        """What it tells of trials that are compared at `marks`, their last epoch included."""
        values = after_shares(self.values, self.epochs, marks)
        return Evidence(params=self.params, values=values)


def write_earlier_trials(directory: Path, trials: Iterable[EarlierTrial]) -> None:
    """Keeps a run's copy."""
    lines = (json.dumps(asdict(each), allow_nan=False) + "\n" for each in trials)
    write_atomic(directory / EVIDENCE, "".join(lines))


def read_earlier_trials(directory: Path) -> list[EarlierTrial]:
    """A run's copy. Raises `RunError` where it is missing or damaged."""
    path = directory / EVIDENCE
    try:
        return [EarlierTrial.from_json(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"{path} must hold what a warm-started run has learned from, but can't be read "
            f"({error}); restore it from a copy of the run."
        ) from error
