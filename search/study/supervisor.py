"""One face of a search's trials and of its finalists, for whoever has them trained. Knows no Ray.

Trials are the `Study`'s, finalists' trainings the `Finalists`'. A backend asks for proposals, has
them trained, brings what became of each, and needn't know whose a training is.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from results.records import (
    EpochMetrics,
    NetworkCosts,
    StopReason,
    TrainingId,
    TrainingRecord,
    TrialRecord,
    TrialState,
)
from search.early_stopping.decision import Ending
from search.study.finalists import Finalists
from search.study.proposal import Proposal
from search.study.study import Study
from trainables.config import TrialConfig


class Supervisor:
    """Proposes trainings, takes their epochs and failures. Call it from one thread.

    Trials come first, then the finalists. All methods that take a training raise `KeyError` for
    one that was never proposed.
    """

    def __init__(self, study: Study[TrialConfig], finalists: Finalists) -> None:
        self._study, self._finalists = study, finalists
        self._trials = _Trials(study)
        self._repeats = _Repeats(finalists)
        self._refused: list[TrialRecord] = []

    # --- proposing -------------------------------------------------------------------------

    def propose(self) -> Proposal[TrialConfig] | None:
        """The next training; `None` while none is known, and at the end."""
        known = len(self._study.records)
        proposal = self._study.ask() or self._finalists.ask()
        begun = islice(self._study.records.values(), known, None)
        self._refused += [record for record in begun if record.state is TrialState.FAILED]
        return proposal

    def refused(self) -> list[TrialRecord]:
        """Trials that failed when they were proposed, as their configuration can't be trained.

        Each is named once, in the order in which they began.
        """
        refused, self._refused = self._refused, []
        return refused

    def waiting(self) -> bool:
        """Whether there will be trainings to propose that nobody knows yet."""
        return self._finalists.waiting()

    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self._study.finished() and self._finalists.finished()

    # --- what is known ---------------------------------------------------------------------

    def record(self, training: TrainingId) -> TrainingRecord:
        """How a training stands."""
        return self._group(training).record(training)

    def epochs(self, training: TrainingId) -> Sequence[EpochMetrics]:
        """The recorded epochs of a training, in order."""
        return self._group(training).epochs(training)

    def history(self) -> Iterator[tuple[TrainingRecord, Sequence[EpochMetrics]]]:
        """(record, recorded epochs) of every training, the trials' first."""
        records: tuple[TrainingRecord, ...] = (
            *self._study.records.values(),
            *self._finalists.records.values(),
        )
        return ((record, self.epochs(record.training)) for record in records)

    # --- deciding --------------------------------------------------------------------------

    def unmeasured(self, training: TrainingId) -> bool:
        """Whether `measured` is to be called before the training's first epoch."""
        return self._study.unmeasured(training.number)

    def measured(self, training: TrainingId, costs: NetworkCosts) -> TrialRecord:
        """Takes what a training's network costs; the trial's record, with the costs that count."""
        self._study.measured(training.number, costs)
        return self._study.records[training.number]

    def epoch(self, training: TrainingId, metrics: EpochMetrics) -> Ending | None:
        """Takes one epoch; `None` when the training goes on, else how it has ended.

        An epoch that is recorded already (a worker went back to its checkpoint) isn't counted
        again; a training that has ended answers with its ending again.
        """
        return self._group(training).report(training, metrics)

    def may_retry(self, training: TrainingId) -> bool:
        """Whether a training that breaks off now is tried again.

        A trial is once, over all sessions; a finalist's training once in each session.
        """
        return self._group(training).may_retry(training)

    def retry(self, training: TrainingId, error: str, config: TrialConfig) -> Proposal[TrialConfig]:
        """A training that broke off by `error`, to go on from its last checkpoint with `config`."""
        return self._group(training).retry(training, error, config)

    def failed(self, training: TrainingId, error: str, reason: StopReason | None = None) -> None:
        """Ends a training that can't be done; the last lines of `error` say why."""
        self._group(training).fail(training, error, reason)

    def _group(self, training: TrainingId) -> "_Group":
        return self._repeats if training.is_finalist else self._trials


class _Group(Protocol):
    """What the supervisor asks of either kind of trainings, by the same names."""

    def record(self, training: TrainingId) -> TrainingRecord: ...

    def epochs(self, training: TrainingId) -> Sequence[EpochMetrics]: ...

    def report(self, training: TrainingId, metrics: EpochMetrics) -> Ending | None: ...

    def may_retry(self, training: TrainingId) -> bool: ...

    def retry(
        self, training: TrainingId, error: str, config: TrialConfig, /
    ) -> Proposal[TrialConfig]: ...

    def fail(self, training: TrainingId, error: str, reason: StopReason | None) -> None: ...


class _Trials:
    """The study's trials, each known to the study by its number."""

    def __init__(self, study: Study[TrialConfig]) -> None:
        self._study = study

    def record(self, training: TrainingId) -> TrialRecord:
        return self._study.records[training.number]

    def epochs(self, training: TrainingId) -> Sequence[EpochMetrics]:
        return self._study.epochs[training.number]

    def report(self, training: TrainingId, metrics: EpochMetrics) -> Ending | None:
        return self._study.report(training.number, metrics)

    def may_retry(self, training: TrainingId) -> bool:
        return self._study.may_retry(training.number)

    def retry(self, training: TrainingId, error: str, config: TrialConfig) -> Proposal[TrialConfig]:
        return self._study.retry(training.number, error, config)

    def fail(self, training: TrainingId, error: str, reason: StopReason | None) -> None:
        self._study.fail(training.number, error, reason)


class _Repeats:
    """The finalists' trainings. Why one broke off before its retry isn't recorded."""

    def __init__(self, finalists: Finalists) -> None:
        self._finalists = finalists

    def record(self, training: TrainingId) -> TrainingRecord:
        return self._finalists.records[training]

    def epochs(self, training: TrainingId) -> Sequence[EpochMetrics]:
        return self._finalists.epochs[training]

    def report(self, training: TrainingId, metrics: EpochMetrics) -> Ending | None:
        return self._finalists.report(training, metrics)

    def may_retry(self, training: TrainingId) -> bool:
        return self._finalists.may_retry(training)

    def retry(
        self, training: TrainingId, _error: str, config: TrialConfig
    ) -> Proposal[TrialConfig]:
        return self._finalists.retry(training, config)

    def fail(self, training: TrainingId, error: str, reason: StopReason | None) -> None:
        self._finalists.fail(training, error, reason)
