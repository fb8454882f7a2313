"""Holds what a run's sampler learns from: its own trials, and those of earlier runs, which it reads
and writes.

The latter don't become trials of the study, and neither its numbers nor its rungs count them.
"""

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from common.files import write_text_atomically
from results.jsonl import chain_start, check_regular, read_lines, seal_line
from results.records import EpochMetrics, TrialRecord
from results.run_hints import restore_hint
from results.store import RunError, find_chain_start, find_lines
from search.samplers.gain_watch import Look
from search.samplers.learning_curves import (
    Evidence,
    ObservationCache,
    ObservedTrial,
    after_shares,
)

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


class StudyEvidence:
    """Returns what every configuration of a study has shown so far, earlier runs included.

    records, epochs: the study's own, which grow.
    marks: the epochs at which trials are compared, the last one included.
    length_of: returns the number of epochs of a trial's full training, by its number.
    earlier: the trials of earlier runs.
    outside: the numbers of those trials whose configuration the study's space can't have any more.
    """

    def __init__(
        self,
        records: Mapping[int, TrialRecord],
        epochs: Mapping[int, Sequence[EpochMetrics]],
        marks: Sequence[int],
        length_of: Callable[[int], int],
        *,
        earlier: Iterable[PriorTrial],
        outside: Container[int],
    ) -> None:
        self._records, self._epochs, self._marks = records, epochs, marks
        self._length_of, self._outside = length_of, outside
        self._known = ObservationCache(marks, [each.evidence(marks) for each in earlier])

    def evidence(self) -> Evidence:
        """Returns the earlier observations, and then that of each trial as it stands."""
        return self._known.of(self._records, self._epochs, self._length_of, self._counts)

    def look(self) -> Look:
        """Returns the arguments of `GainWatch.estimate`."""
        counted = filter(self._counts, self._records.values())
        shown = [(record, self._epochs[record.number]) for record in counted]
        return shown, self.evidence(), self._marks

    def forget(self, number: int) -> None:
        """Observes an ended trial once more at the next call."""
        self._known.forget(number)

    def _counts(self, record: TrialRecord) -> bool:
        """Returns whether a trial's configuration is one that this study's space may have."""
        return bool(record.config) and record.number not in self._outside
