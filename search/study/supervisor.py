"""Stands before a search's screening, trials and finalists, for the backend that trains them. Knows
no Ray.

Trials belong to the `Study`, finalists' trainings to the `Finalists`, and short ones before the
trials to the `Screening`. A backend asks for proposals, trains them, reports each one's epochs and
failures, and needn't know of which kind a training is.
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
from search.study.proposer import Proposal
from search.study.screening import Screening
from search.study.study import Study
from trainables.config import TrialConfig


class Supervisor:
    """Proposes trainings, and records their epochs and failures. Call it from one thread.

    The screening comes first, if there is one, then the trials, then the finalists. All methods
    with an argument `training` raise `KeyError` for a training that was never proposed.
    """

    def __init__(
        self,
        study: Study[TrialConfig],
        finalists: Finalists,
        screening: Screening[TrialConfig] | None = None,
    ) -> None:
        self._study, self._finalists, self._screening = study, finalists, screening
        self._trials = _Trials(study)
        self._refused: list[TrialRecord] = []

    # --- proposing -------------------------------------------------------------------------

    def propose(self) -> Proposal[TrialConfig] | None:
        """Returns the next training, or `None` while none is known or left."""
        if self._screening and (screened := self._screening.ask()):
            return screened
        known = len(self._study.records)
        proposal = self._study.ask()
        if proposal is None and not self._screening_runs():
            proposal = self._finalists.ask()
        begun = islice(self._study.records.values(), known, None)
        self._refused += [record for record in begun if record.state is TrialState.FAILED]
        return proposal

    def refused(self) -> list[TrialRecord]:
        """Returns the trials that failed when they were proposed, because their configuration can't
        be trained. Each is returned once, in the order in which they began.
        """
        refused, self._refused = self._refused, []
        return refused

    def waiting(self) -> bool:
        """Returns whether there will be trainings to propose that aren't known yet."""
        return self._screening_runs() or self._finalists.waiting()

    def _screening_runs(self) -> bool:
        return self._screening is not None and self._screening.waiting()

    def finished(self) -> bool:
        """Returns whether nothing is left to train."""
        return self._study.finished() and self._finalists.finished()

    # --- what is known ---------------------------------------------------------------------

    def record(self, training: TrainingId) -> TrainingRecord:
        """Returns the current record of a training."""
        if training.is_trial:
            return self._study.records[training.number]
        return self._beside(training).records[training]

    def epochs(self, training: TrainingId) -> Sequence[EpochMetrics]:
        """Returns the recorded epochs of a training, in order."""
        if training.is_trial:
            return self._study.epochs[training.number]
        return self._beside(training).epochs[training]

    def history(self) -> Iterator[tuple[TrainingRecord, Sequence[EpochMetrics]]]:
        """Yields (record, recorded epochs) of every training, the screening's first, then the
        trials'.
        """
        records: tuple[TrainingRecord, ...] = (
            *(self._screening.records.values() if self._screening else ()),
            *self._study.records.values(),
            *self._finalists.records.values(),
        )
        return ((record, self.epochs(record.training)) for record in records)

    # --- deciding --------------------------------------------------------------------------

    def unmeasured(self, training: TrainingId) -> bool:
        """Returns whether `measured` must be called before the training's first epoch."""
        return training.is_trial and self._study.unmeasured(training.number)

    def measured(self, training: TrainingId, costs: NetworkCosts) -> TrialRecord:
        """Records what a training's network costs, and returns the trial's record with the costs
        that count.
        """
        self._study.measured(training.number, costs)
        return self._study.records[training.number]

    def epoch(self, training: TrainingId, metrics: EpochMetrics) -> Ending | None:
        """Records one epoch, and returns `None` when the training continues, or else its ending.

        An epoch that is recorded already, because a worker went back to its checkpoint, doesn't
        count again. For a training that has ended, the result is its ending again.
        """
        return self._group(training).report(training, metrics)

    def may_retry(self, training: TrainingId) -> bool:
        """Returns whether a training that breaks off now is tried again.

        A trial is tried again once over all sessions, a finalist's training once in each session.
        """
        return self._group(training).may_retry(training)

    def retry(self, training: TrainingId, error: str, config: TrialConfig) -> Proposal[TrialConfig]:
        """Returns a training that broke off by `error`, to continue with `config`."""
        return self._group(training).retry(training, error, config)

    def failed(self, training: TrainingId, error: str, reason: StopReason | None = None) -> None:
        """Ends a training that failed; the last lines of `error` become the record's `detail`."""
        self._group(training).fail(training, error, reason)

    def _group(self, training: TrainingId) -> "_Group":
        return self._trials if training.is_trial else self._beside(training)

    def _beside(self, training: TrainingId) -> "Finalists | Screening[TrialConfig]":
        if not training.screening:
            return self._finalists
        if self._screening is None:
            raise KeyError(training)
        return self._screening


class _Group(Protocol):
    """Decides over trainings of one kind; `SideTrainings` fulfils this protocol as it is."""

    def report(self, training: TrainingId, metrics: EpochMetrics) -> Ending | None: ...

    def may_retry(self, training: TrainingId) -> bool: ...

    def retry(
        self, training: TrainingId, error: str, config: TrialConfig, /
    ) -> Proposal[TrialConfig]: ...

    def fail(self, training: TrainingId, error: str, reason: StopReason | None) -> None: ...


class _Trials:
    """Passes on to a study what concerns its trials, which the study knows by their numbers."""

    def __init__(self, study: Study[TrialConfig]) -> None:
        self._study = study

    def report(self, training: TrainingId, metrics: EpochMetrics) -> Ending | None:
        return self._study.report(training.number, metrics)

    def may_retry(self, training: TrainingId) -> bool:
        return self._study.may_retry(training.number)

    def retry(self, training: TrainingId, error: str, config: TrialConfig) -> Proposal[TrialConfig]:
        return self._study.retry(training.number, error, config)

    def fail(self, training: TrainingId, error: str, reason: StopReason | None) -> None:
        self._study.fail(training.number, error, reason)
