"""Defines the events of a search, and passes them on to everything that watches it. Knows no Ray.

A backend that trains has one `Observer`; `Observers` passes each event on to many. Observers see
and never steer: nothing that they do decides over a training, except that a budget reads the
`GpuMeter` as it reads a clock.
"""

from collections.abc import Callable, Sequence
from functools import partialmethod
from typing import Any, Self

from common.text import last_lines
from results.records import EpochMetrics, TrainingId, TrainingRecord, TrialRecord
from results.side_store import SteeringRecord
from search.study.proposer import Proposal
from trainables.config import TrialConfig


class Observer:
    """Receives the events of a search and ignores them; subclasses override those that they need.

    Events come in the thread that decides and records, right after it has done so: records are on
    disk by then. An observer gives work that takes long to another thread.
    """

    def __str__(self) -> str:
        return type(self).__name__

    def began(self, proposal: Proposal[TrialConfig], gpus: float) -> None:
        """A training begins, or continues after a resume, with a share `gpus` of a GPU."""

    def placed(self, training: TrainingId, gpus: Sequence[str]) -> None:
        """A training's worker names the GPUs that it trains on; this comes before each epoch."""

    def noted(self, training: TrainingId, note: str) -> None:
        """A training that hasn't had its first epoch yet has a `note` for people."""

    def measured(self, record: TrialRecord) -> None:
        """A trial's record holds what its network costs; this comes before its first epoch."""

    def first_step(self, at: float) -> None:
        """An epoch's first optimizer step began `at` this time, in seconds since 1970."""

    def epoch(self, training: TrainingId, metrics: EpochMetrics, *, new: bool) -> None:
        """A training has ended an epoch.

        The epoch isn't `new` where it is recorded already, because a worker went back to its
        checkpoint.
        """

    def retried(self, proposal: Proposal[TrialConfig], record: TrainingRecord) -> None:
        """A training broke off and is tried again, as `proposal` says; `record` is its record."""

    def moved(self, training: TrainingId, epochs_done: int) -> None:
        """A training lost its node, and continues on another after `epochs_done` epochs."""

    def ended(self, record: TrainingRecord) -> None:
        """A training has ended with this record.

        A trial whose configuration can't be trained ends without having begun.
        """

    def steered(self, record: SteeringRecord) -> None:
        """A user has changed the running search."""

    def tick(self) -> None:
        """Time has passed; this comes several times a second while trainings run."""

    def closed(self) -> None:
        """No training runs any more in this session; this is the last event."""


class Observers(Observer):
    """Passes each event on to other observers, first to `required` and then to `optional` ones.

    An exception of a required observer ends the search, because its user relies on what it shows,
    or on the records that it keeps elsewhere. The first exception of an optional one is reported by
    `warn`, and the search continues without that observer. A `with` statement closes the observers
    at its end.
    """

    def __init__(
        self,
        required: Sequence[Observer],
        optional: Sequence[Observer],
        warn: Callable[[str], object],
    ) -> None:
        self._required, self._optional, self._warn = tuple(required), list(optional), warn

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed()

    def _pass_on(self, event: str, *args: Any, **kwargs: Any) -> None:
        for observer in self._required:
            getattr(observer, event)(*args, **kwargs)
        for observer in tuple(self._optional):
            try:
                getattr(observer, event)(*args, **kwargs)
            except Exception as error:  # of other people's packages
                self._optional.remove(observer)
                reason = last_lines(f"{type(error).__name__}: {error}")
                self._warn(f"{observer} fails, and the search goes on without it: {reason}")


for _event in [name for name in vars(Observer) if not name.startswith("_")]:
    setattr(Observers, _event, partialmethod(Observers._pass_on, _event))
