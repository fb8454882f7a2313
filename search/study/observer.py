"""Who is told what happens in a search, and what they are told. Knows no Ray.

A backend that has trainings done tells one `Observer`; `Observers` hands each event on to many.
Observers see and never steer: nothing that they do decides over a training.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, Self

from common.text import last_lines
from results.records import EpochMetrics, TrainingId, TrainingRecord, TrialRecord
from search.study.proposal import Proposal
from trainables.config import TrialConfig


class Observer(Protocol):
    """Events of a search, told in the thread that decides and records, right after it has.

    Whatever takes long goes to another thread. Records are on disk before they are told.
    """

    def began(self, proposal: Proposal[TrialConfig], gpus: float) -> None:
        """A training begins, or goes on after a resume, with a share `gpus` of a GPU."""

    def noted(self, training: TrainingId, note: str) -> None:
        """What a training says of itself before its first epoch, for people."""

    def measured(self, record: TrialRecord) -> None:
        """What a trial's network costs is in its record, before the trial's first epoch."""

    def first_step(self, at: float) -> None:
        """When an epoch's first optimizer step began, in seconds since 1970 on the wall clock."""

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        """A training has ended an epoch.

        It isn't `new` where it is recorded already, as a worker went back to its checkpoint.
        """

    def retried(self, proposal: Proposal[TrialConfig], record: TrainingRecord) -> None:
        """A training broke off and is tried again, as `proposal` says; `record` is its record."""

    def moved(self, training: TrainingId, epochs_done: int) -> None:
        """A training's node was lost: it goes on elsewhere after `epochs_done` recorded epochs."""

    def ended(self, record: TrainingRecord) -> None:
        """A training has ended, as its record says.

        A trial whose configuration can't be trained ends without having begun.
        """

    def tick(self) -> None:
        """Comes several times a second while trainings run."""

    def closed(self) -> None:
        """No training runs any more in this session. Nothing is told after this."""


class BaseObserver:
    """An observer that passes over every event: subclasses say which ones they take."""

    def __str__(self) -> str:
        return type(self).__name__

    def began(self, proposal: Proposal[TrialConfig], gpus: float) -> None:
        """Passes over it."""

    def noted(self, training: TrainingId, note: str) -> None:
        """Passes over it."""

    def measured(self, record: TrialRecord) -> None:
        """Passes over it."""

    def first_step(self, at: float) -> None:
        """Passes over it."""

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        """Passes over it."""

    def retried(self, proposal: Proposal[TrialConfig], record: TrainingRecord) -> None:
        """Passes over it."""

    def moved(self, training: TrainingId, epochs_done: int) -> None:
        """Passes over it."""

    def ended(self, record: TrainingRecord) -> None:
        """Passes over it."""

    def tick(self) -> None:
        """Passes over it."""

    def closed(self) -> None:
        """Passes over it."""


class Observers:
    """An `Observer` that hands each event on to others: first to `required`, then to `optional`.

    What a required one raises ends the search: whoever can't be told any more, or can't keep the
    records elsewhere, should know at once. What an optional one raises is told once by `warn`,
    and the search goes on without it. Used in a `with` statement, it tells the end by itself.
    """

    def __init__(
        self,
        required: Sequence[Observer],
        optional: Sequence[Observer],
        warn: Callable[[str], object],
    ) -> None:
        self._required, self._optional, self._warn = tuple(required), list(optional), warn

    def began(self, proposal: Proposal[TrialConfig], gpus: float) -> None:
        self._tell(lambda each: each.began(proposal, gpus))

    def noted(self, training: TrainingId, note: str) -> None:
        self._tell(lambda each: each.noted(training, note))

    def measured(self, record: TrialRecord) -> None:
        self._tell(lambda each: each.measured(record))

    def first_step(self, at: float) -> None:
        self._tell(lambda each: each.first_step(at))

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        self._tell(lambda each: each.epoch(training, metrics, new=new))

    def retried(self, proposal: Proposal[TrialConfig], record: TrainingRecord) -> None:
        self._tell(lambda each: each.retried(proposal, record))

    def moved(self, training: TrainingId, epochs_done: int) -> None:
        self._tell(lambda each: each.moved(training, epochs_done))

    def ended(self, record: TrainingRecord) -> None:
        self._tell(lambda each: each.ended(record))

    def tick(self) -> None:
        self._tell(lambda each: each.tick())

    def closed(self) -> None:
        self._tell(lambda each: each.closed())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed()

    def _tell(self, event: Callable[[Observer], None]) -> None:
        for each in self._required:
            event(each)
        for each in tuple(self._optional):
            try:
                event(each)
            except Exception as error:  # of other people's packages
                self._optional.remove(each)
                said = last_lines(f"{type(error).__name__}: {error}")
                self._warn(f"{each} fails, and the search goes on without it: {said}")
