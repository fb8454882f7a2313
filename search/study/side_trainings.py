"""Records and ends the trainings beside a study's trials: the finalists' and the screening's."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Generic

from common.text import last_lines
from results.analysis.finalist_comparison import BASELINE
from results.records import EpochMetrics, StopReason, TrainingId, TrialState
from search.early_stopping import detection
from search.early_stopping.decision import (
    COMPLETE,
    Ending,
    ending_of,
    failed_ending,
    stopped_ending,
)
from search.study.proposer import C, Proposal
from search.study.store import R, SideTrainingStore

GIVE_UP = 5
"""After this many failures in a row, the machine is likely at fault, and no more is tried."""

TIME_IS_UP = Ending(state=TrialState.STOPPED, reason=StopReason.BUDGET)
"""A training that time ran out for has this ending in the session, and none in the records."""


class SideTrainings(Generic[R, C]):
    """Holds trainings of one kind, each of which goes to its last epoch unless it diverges or
    fails. Call it from one thread; a subclass proposes them.

    num_classes: the number of classes, from which the loss of a guess follows.
    images: the share of the training images that each training sees.
    time_left: returns the seconds until nothing more is proposed and trainings end with their
        epoch, unfinished.
    """

    def __init__(
        self,
        store: SideTrainingStore[R],
        num_classes: int,
        time_left: Callable[[], float] = lambda: math.inf,
        images: float = 1.0,
    ) -> None:
        self.images = images
        self.store: SideTrainingStore[R] = store
        self.records: dict[TrainingId, R] = store.records()
        self.epochs: dict[TrainingId, list[EpochMetrics]] = {key: [] for key in self.records}
        self._num_classes, self._time_left = num_classes, time_left
        self._proposed: set[TrainingId] = set()
        self._retried: set[TrainingId] = set()
        self._replay()

    def _proposal(self, training: TrainingId, config: C) -> Proposal[C]:
        return Proposal(
            training=training,
            config=config,
            epochs_done=len(self.epochs[training]),
            baseline=training.number == BASELINE,
            images=self.images,
        )

    def report(self, training: TrainingId, metrics: EpochMetrics) -> Ending | None:
        """Records one epoch, and returns `None` when the training continues, or else its ending.

        An epoch that is recorded already doesn't count again, as in the study. When the time is
        up, the training ends in this session and stays unfinished in the records.
        """
        record = self.records[training]
        if record.state is not TrialState.RUNNING:
            return ending_of(record)
        if metrics.epoch > len(self.epochs[training]):
            self.store.add_epoch(training, metrics)
            self.epochs[training].append(metrics)
            if ending := self._decide(training):
                self._end(training, ending)
                return ending
        return TIME_IS_UP if self._time_left() <= 0 else None

    def may_retry(self, training: TrainingId) -> bool:
        """Returns whether a training that breaks off now is tried again: once in each session."""
        running = self.records[training].state is TrialState.RUNNING
        return running and training not in self._retried

    def retry(self, training: TrainingId, _error: str, config: C) -> Proposal[C]:
        """Returns a training that broke off, to continue with `config`; this isn't recorded."""
        self._retried.add(training)
        return self._proposal(training, config)

    def fail(self, training: TrainingId, error: str, reason: StopReason | None = None) -> None:
        """Ends a training that failed; the last lines of `error` become the record's `detail`."""
        if self.records[training].state is TrialState.RUNNING:
            self.store.add_error(training, error)
            self._end(training, failed_ending(last_lines(error), reason))

    def _decide(self, training: TrainingId) -> Ending | None:
        """Returns the ending of a training that diverged or is complete; no other rule ends one."""
        epochs = self.epochs[training]
        if detail := detection.find_divergence(epochs, self._num_classes):
            return stopped_ending(StopReason.DIVERGED, detail)
        return COMPLETE if epochs[-1].epoch >= self.records[training].config["epochs"] else None

    def _end(self, training: TrainingId, ending: Ending) -> None:
        epochs, complete = self.epochs[training], ending.state is TrialState.COMPLETE
        record = replace(
            self.records[training],
            state=ending.state,
            reason=ending.reason,
            detail=ending.detail,
            epochs=len(epochs),
            val_top1=epochs[-1].val_top1 if complete else None,
            wall_s=round(sum(epoch.wall_s for epoch in epochs), 3),
        )
        self._put(record)
        self.store.drop_checkpoint(training)

    def _put(self, record: R) -> None:
        self.records[record.training] = record
        self.store.add(record)

    def _replay(self) -> None:
        """Restores the trainings from the records on disk."""
        for key, metrics in self.store.epochs():
            if key in self.epochs and metrics.epoch == len(self.epochs[key]) + 1:
                self.epochs[key].append(metrics)
        for key, record in list(self.records.items()):
            if record.state is not TrialState.RUNNING:
                self.store.drop_checkpoint(key)
            elif self.epochs[key] and (ending := self._decide(key)):
                self._end(key, ending)
