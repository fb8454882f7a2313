"""What a study proposes: a trial to run, or a finalist's training to repeat."""

from dataclasses import dataclass
from typing import Generic

from search.study.proposer import C


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal(Generic[C]):
    """A trial to run; `epochs_done` of it are recorded already (after a resume).

    `repeat`, from 1, is given where a finalist's training with a fresh seed is meant; `baseline`
    marks each trial that is one, of whatever length.
    """

    number: int
    config: C
    epochs_done: int = 0
    repeat: int | None = None
    baseline: bool = False
