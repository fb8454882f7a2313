"""What a study proposes: a trial to run, or a finalist's training to repeat."""

from dataclasses import dataclass
from typing import Generic

from results.records import TrainingId
from search.study.proposer import C


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal(Generic[C]):
    """A training to run; `epochs_done` of it are recorded already (after a resume).

    `baseline` marks each trial that is one, of whatever length, and each repeat of the baseline.
    """

    training: TrainingId
    config: C
    epochs_done: int = 0
    baseline: bool = False

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.training.number
