"""Defines a study's proposal: a trial to run, or a finalist's training to repeat."""

from dataclasses import dataclass
from typing import Generic

from results.records import TrainingId
from search.study.proposer import C


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal(Generic[C]):
    """Proposes a training, of which `epochs_done` epochs are already recorded, after a resume.

    `baseline` is true for each trial of the baseline, of any length, and for each repeat of it.
    """

    training: TrainingId
    config: C
    epochs_done: int = 0
    baseline: bool = False

    @property
    def number(self) -> int:
        """Returns the number of the trial."""
        return self.training.number
