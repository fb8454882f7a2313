"""What a study and its finalists keep their records in: on disk, or in memory."""

from collections.abc import Iterable
from typing import Protocol

from results.records import EpochMetrics, FinalistRecord, TrainingId, TrialRecord


class TrialStore(Protocol):
    """A study's records. `results.store.RunStore` keeps them on disk, `MemoryStore` doesn't."""

    @property
    def name(self) -> str:
        """What the study is called."""

    def trials(self) -> dict[int, TrialRecord]:
        """Every trial's latest record, by number, in the order in which they began."""

    def epochs(self) -> Iterable[tuple[int, EpochMetrics]]:
        """(trial number, metrics) of every recorded epoch, in order."""

    def add_epoch(self, trial: int, metrics: EpochMetrics) -> None:
        """Keeps one epoch."""

    def add_trial(self, record: TrialRecord) -> None:
        """Keeps a trial's new state."""

    def add_error(self, trial: int, text: str) -> object:
        """Keeps the whole traceback of a trial that broke off, beside those it has."""

    def drop_checkpoint(self, trial: int) -> None:
        """Removes the checkpoint of a trial that has ended, if there is one."""


class RepeatStore(Protocol):
    """What is kept of finalists: `results.finalist_store.FinalistStore`."""

    def records(self) -> dict[TrainingId, FinalistRecord]:
        """Every training's latest record, in the order of planning."""

    def epochs(self) -> Iterable[tuple[TrainingId, EpochMetrics]]:
        """Every recorded epoch, in order."""

    def add(self, record: FinalistRecord) -> None:
        """Keeps a training's new state."""

    def add_epoch(self, training: TrainingId, metrics: EpochMetrics) -> None:
        """Keeps one epoch."""

    def add_error(self, training: TrainingId, text: str) -> None:
        """Keeps the whole traceback of a training that failed."""

    def drop_checkpoint(self, training: TrainingId) -> None:
        """Removes the checkpoint of a training that has ended, if there is one."""

    def close(self) -> None:
        """Nothing more is added."""


class MemoryStore:
    """A store that begins empty and is never read again: the study itself holds all it needs."""

    name = "simulated"

    def trials(self) -> dict[int, TrialRecord]:
        return {}

    def epochs(self) -> Iterable[tuple[int, EpochMetrics]]:
        return ()

    def add_epoch(self, trial: int, metrics: EpochMetrics) -> None:
        """Nothing is kept."""

    def add_trial(self, record: TrialRecord) -> None:
        """Nothing is kept."""

    def add_error(self, trial: int, text: str) -> None:
        """Nothing is kept."""

    def drop_checkpoint(self, trial: int) -> None:
        """There are none."""
