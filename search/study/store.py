"""Defines the stores of a study's records and of the trainings beside it: on disk, or in memory."""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from results.records import EpochMetrics, FinalistRecord, ScreeningRecord, TrainingId, TrialRecord

R = TypeVar("R", FinalistRecord, ScreeningRecord)


class TrialStore(Protocol):
    """Stores a study's records: `results.store.RunStore` on disk, `MemoryStore` nowhere."""

    @property
    def name(self) -> str:
        """Returns the name of the study."""

    def trials(self) -> dict[int, TrialRecord]:
        """Returns every trial's latest record, by number, in the order in which they began."""

    def epochs(self) -> Iterable[tuple[int, EpochMetrics]]:
        """Returns (trial number, metrics) of every recorded epoch, in order."""

    def add_epoch(self, trial: int, metrics: EpochMetrics) -> None:
        """Adds one epoch of a trial."""

    def add_trial(self, record: TrialRecord) -> None:
        """Adds a trial's new record, which replaces its earlier ones."""

    def add_error(self, trial: int, text: str) -> object:
        """Adds the whole traceback of a trial that broke off to its earlier ones."""

    def drop_checkpoint(self, trial: int) -> None:
        """Removes the checkpoint of a trial that has ended, if there is one."""


class SideTrainingStore(Protocol[R]):
    """Stores the records of finalists or of a screening, as `results.side_store.SideStore` does."""

    def records(self) -> dict[TrainingId, R]:
        """Returns every training's latest record, in the order of planning."""

    def epochs(self) -> Iterable[tuple[TrainingId, EpochMetrics]]:
        """Returns (training, metrics) of every recorded epoch, in order."""

    def add(self, record: R) -> None:
        """Adds a training's new record, which replaces its earlier ones."""

    def add_epoch(self, training: TrainingId, metrics: EpochMetrics) -> None:
        """Adds one epoch of a training."""

    def add_error(self, training: TrainingId, text: str) -> None:
        """Adds the whole traceback of a training that failed."""

    def drop_checkpoint(self, training: TrainingId) -> None:
        """Removes the checkpoint of a training that has ended, if there is one."""

    def close(self) -> None:
        """Closes the store; nothing more is added."""


class MemorySideStore(Generic[R]):
    """Stores nothing, because the trainings beside a study hold all that they need in memory."""

    def records(self) -> dict[TrainingId, R]:
        """Returns no trainings, because the store begins empty."""
        return {}

    def epochs(self) -> Iterable[tuple[TrainingId, EpochMetrics]]:
        """Returns no epochs, because the store begins empty."""
        return ()

    def add(self, record: R) -> None:
        """Does nothing with the record."""

    def add_epoch(self, training: TrainingId, metrics: EpochMetrics) -> None:
        """Does nothing with the epoch."""

    def add_error(self, training: TrainingId, text: str) -> None:
        """Does nothing with the traceback."""

    def drop_checkpoint(self, training: TrainingId) -> None:
        """Does nothing, because there are no checkpoints."""

    def close(self) -> None:
        """Does nothing, because there are no files."""


class MemoryStore:
    """Stores nothing, because the study itself holds all that it needs in memory."""

    name = "simulated"

    def trials(self) -> dict[int, TrialRecord]:
        """Returns no trials, because the store begins empty."""
        return {}

    def epochs(self) -> Iterable[tuple[int, EpochMetrics]]:
        """Returns no epochs, because the store begins empty."""
        return ()

    def add_epoch(self, trial: int, metrics: EpochMetrics) -> None:
        """Does nothing with the epoch."""

    def add_trial(self, record: TrialRecord) -> None:
        """Does nothing with the record."""

    def add_error(self, trial: int, text: str) -> None:
        """Does nothing with the traceback."""

    def drop_checkpoint(self, trial: int) -> None:
        """Does nothing, because there are no checkpoints."""
