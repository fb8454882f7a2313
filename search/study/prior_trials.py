"""Reads and writes the trials of earlier runs that this run's sampler learns from.

They don't become trials of the study, and neither its numbers nor its rungs count them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from common.files import write_text_atomically
from results.jsonl import chain_start, check_regular, read_lines, seal_line
from results.run_hints import restore_hint
from results.store import RunError, find_chain_start, find_lines
from search.samplers.learning_curves import ObservedTrial, after_shares

EVIDENCE = "evidence.jsonl"
"""A run has its own copy in this file, so that it can continue without the earlier runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorTrial:
    """Holds one trial of an earlier run; `origin` names that run and trial, for people.

    `params` are this run's parameters, in their ranges. `values` holds val_top1 after each trained
    epoch, and `epochs` is the length of the trial's learning-rate schedule.
    """

    origin: str
    params: Mapping[str, Any]
    values: Mapping[int, float]
    epochs: int

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Builds a trial from one line of the file `EVIDENCE`."""
        return cls(**{**value, "values": {int(k): v for k, v in value["values"].items()}})

    def evidence(self, marks: Sequence[int]) -> ObservedTrial:
        """Returns what the trial has shown at `marks`, a full training's last epoch included."""
        values = after_shares(self.values, self.epochs, marks)
        return ObservedTrial(params=self.params, values=values)


def write_prior_trials(directory: Path, trials: Iterable[PriorTrial]) -> None:
    """Writes a run's copy of earlier trials, whose first line holds their number."""
    lines = [json.dumps(asdict(each), allow_nan=False) for each in trials]
    seal, text = chain_start(find_chain_start(directory) or "", EVIDENCE), ""
    for line in (json.dumps({"trials": len(lines)}), *lines):
        sealed, seal = seal_line(line, seal)
        text += sealed + "\n"
    write_text_atomically(directory / EVIDENCE, text)


def read_prior_trials(directory: Path) -> list[PriorTrial]:
    """Reads a run's copy of earlier trials. Raises `RunError` where it is missing or damaged."""
    path = directory / EVIDENCE
    check_regular(path, partial(restore_hint, directory))
    try:
        if not (content := path.read_bytes()).endswith(b"\n"):
            older = 'an older version that found nothing left no {"trials": 0} in it'
            raise ValueError("it ends within a line" if content else f"it is empty; {older}")
        values = list(read_lines(path, find_lines(directory, EVIDENCE)))
        count = values.pop(0)["trials"] if values and "trials" in values[0] else len(values)
        if count != len(values):
            raise ValueError(f"{count - len(values)} of its {count} lines are missing")
        return [PriorTrial.from_json(value) for value in values]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error).partition("; ")[0]  # a damaged line can't be removed: they are counted
        raise RunError(
            f"{path} must hold what a warm-started run has learned from, but can't be read "
            f"({reason}); {restore_hint(directory)}."
        ) from error
