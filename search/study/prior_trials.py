"""Trials of earlier runs that teach this one's sampler, and the run's own copy of them.

They stay out of the study: its trials, their numbers and its rungs are its own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from common.files import write_text_atomically
from results.jsonl import read_lines, seal_line
from results.store import RunError
from search.samplers.learning_curves import ObservedTrial, after_shares

EVIDENCE = "evidence.jsonl"
"""A run's own copy: it goes on also when the earlier runs are gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorTrial:
    """One trial of an earlier run; `origin` says which, for people.

    `params` are in this run's parameters and in their ranges; `values` are val_top1 by epoch, as
    far as it was trained, and `epochs` is where its learning-rate schedule ended.
    """

    origin: str
    params: Mapping[str, Any]
    values: Mapping[int, float]
    epochs: int

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """One line of `EVIDENCE`, read back."""
        return cls(**{**value, "values": {int(k): v for k, v in value["values"].items()}})

    def evidence(self, marks: Sequence[int]) -> ObservedTrial:
        """What it tells of trials that are compared at `marks`, their last epoch included."""
        values = after_shares(self.values, self.epochs, marks)
        return ObservedTrial(params=self.params, values=values)


def write_prior_trials(directory: Path, trials: Iterable[PriorTrial]) -> None:
    """Keeps a run's copy. Its first line tells how many there are."""
    lines = [json.dumps(asdict(each), allow_nan=False) for each in trials]
    whole = [json.dumps({"trials": len(lines)}), *lines]
    write_text_atomically(directory / EVIDENCE, "".join(seal_line(line) + "\n" for line in whole))


def read_prior_trials(directory: Path) -> list[PriorTrial]:
    """A run's copy. Raises `RunError` where it is missing or damaged."""
    path = directory / EVIDENCE
    try:
        if not (content := path.read_bytes()).endswith(b"\n"):
            older = 'an older version that found nothing left no {"trials": 0} in it'
            raise ValueError("it ends within a line" if content else f"it is empty; {older}")
        values = list(read_lines(path))
        told = values.pop(0)["trials"] if values and "trials" in values[0] else len(values)
        if told != len(values):
            raise ValueError(f"{told - len(values)} of its {told} lines are missing")
        return [PriorTrial.from_json(value) for value in values]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{path} must hold what a warm-started run has learned from, but can't be read "
            f"({error}); restore it from a copy of the run."
        ) from error
