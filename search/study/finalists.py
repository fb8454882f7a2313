"""Trains the best trials and the baseline to the end again, with fresh seeds. Knows no Ray.

A search compares each configuration by one training, so that its leader owes something to luck.
Finalists are trained without rungs and without the rule against overfitting, with the same seeds
for each, and compared by the mean of their last epochs' val_top1
(`results.analysis.finalist_comparison`). Nothing is maximised over epochs, because final training
also uses its last epoch.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import fmean

from common.text import last_lines
from results.analysis.finalist_comparison import BASELINE
from results.records import (
    EpochMetrics,
    FinalistRecord,
    StopReason,
    TrainingId,
    TrialRecord,
    TrialState,
)
from search.early_stopping import detection
from search.early_stopping.decision import (
    COMPLETE,
    Ending,
    ending_of,
    failed_ending,
    stopped_ending,
)
from search.study.finalist_choice import choose_finalists, repeat_seed
from search.study.proposal import Proposal
from search.study.store import RepeatStore
from search.study.study import Study
from trainables.config import TrialConfig

TIME_IS_UP = Ending(state=TrialState.STOPPED, reason=StopReason.BUDGET)
"""A training that time ran out for has this ending in the session, and none in the records."""


class Finalists:
    """Proposes the finalists' trainings, and records their epochs. Call it from one thread.

    It is driven like the study, by `ask` when the study proposes no more. A training that a killed
    search left unfinished continues, and a trial that once was a finalist stays one.

    count: the number of finalists besides the baseline, or 0 for no finalists at all.
    repeats: the number of trainings of each finalist.
    time_left: returns the seconds until nothing more is proposed and trainings end with their
        epoch, unfinished.
    """

    def __init__(
        self,
        *,
        study: Study[TrialConfig],
        store: RepeatStore,
        count: int,
        repeats: int,
        seed: int,
        time_left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.study, self.store = study, store
        self.count, self.repeats, self.seed = count, repeats, seed
        self.records = store.records()
        self.epochs: dict[TrainingId, list[EpochMetrics]] = {key: [] for key in self.records}
        self._time_left = time_left
        self._proposed: set[TrainingId] = set()
        self._retried: set[TrainingId] = set()
        self._replay()

    # --- proposing -------------------------------------------------------------------------

    def ask(self) -> Proposal[TrialConfig] | None:
        """Returns the next training, repeat by repeat, or `None` while none is known or left.

        While trials are running, only the baseline's trainings are known, because the baseline is
        a finalist in any case.
        """
        if self._over():
            return None
        wanted = self._wanted()
        for key in wanted:
            if key not in self.records:
                self._plan(key)
        for key in wanted:
            record = self.records[key]
            if record.state is TrialState.RUNNING and key not in self._proposed:
                self._proposed.add(key)
                return self._proposal(key, self.study.restore(record.config))
        return None

    def _proposal(self, training: TrainingId, config: TrialConfig) -> Proposal[TrialConfig]:
        return Proposal(
            training=training,
            config=config,
            epochs_done=len(self.epochs[training]),
            baseline=training.number == BASELINE,
        )

    def waiting(self) -> bool:
        """Returns whether there will be trainings to propose that aren't known yet."""
        return not self._over() and self.study.running()

    def finished(self) -> bool:
        """Returns whether all trainings have ended, none is wanted, or the time is up."""
        if self._over():
            return True
        records = [self.records.get(key) for key in self._wanted()]
        return all(record and record.state is not TrialState.RUNNING for record in records)

    def _over(self) -> bool:
        return not self.count or self._time_left() <= 0 or self.study.gave_up()

    def _wanted(self) -> list[TrainingId]:
        """Returns the trainings of all finalists, as far as they are known.

        After an extension to more epochs there are new repeats, numbered after the shorter ones.
        """
        numbers = choose_finalists(self._standings(), self.count)
        if self.study.running():
            over = self.study.records[BASELINE].state is not TrialState.RUNNING
            numbers = [number for number in numbers if number == BASELINE and over]
        length = self.study.rules.epochs
        shorter = [r.repeat for r in self.records.values() if r.config["epochs"] != length]
        first = max(shorter, default=0) + 1
        stay = {r.trial for r in self.records.values() if r.repeat >= first} - set(numbers)
        repeats = range(first, first + self.repeats)
        return [
            TrainingId(number, repeat) for repeat in repeats for number in (*numbers, *sorted(stay))
        ]

    def _standings(self) -> dict[int, TrialRecord]:
        """Returns all trials' records; a trial that is running counts with its epochs so far."""
        return {
            number: record.reached(self.study.epochs[number])
            if record.state is TrialState.RUNNING
            else record
            for number, record in self.study.records.items()
        }

    def _plan(self, training: TrainingId) -> None:
        trial, repeat = training.number, training.repeat
        assert repeat is not None
        config = self.study.restore(self.study.records[trial].config).but(
            seed=repeat_seed(self.seed, repeat), epochs=self.study.rules.epochs
        )
        self.epochs[training] = []
        self._put(
            FinalistRecord(
                trial=trial, repeat=repeat, state=TrialState.RUNNING, config=config.to_dict()
            )
        )

    # --- deciding --------------------------------------------------------------------------

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

    def retry(
        self, training: TrainingId, _error: str, config: TrialConfig
    ) -> Proposal[TrialConfig]:
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
        if detail := detection.find_divergence(epochs, self.study.rules.num_classes):
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

    def _put(self, record: FinalistRecord) -> None:
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

    # --- what it takes ---------------------------------------------------------------------

    def spent_s(self) -> float:
        """Returns the seconds of all epochs so far, the study's and the finalists'."""
        return sum(self._epochs_s())

    def slowest_epoch_s(self) -> float:
        """Returns the seconds of the longest epoch so far, or 0."""
        return max(self._epochs_s(), default=0.0)

    def expected_s(self) -> list[float]:
        """Estimates the seconds that each training of all finalists will take, in their order.

        The estimate comes from the epochs of the trials that lead now, and from their mean for
        finalists that aren't known yet. Trainings that have ended count too, so that time reserved
        for finalists isn't given back to trials.
        """
        if not self.count:
            return []
        seconds = [
            fmean(metrics.wall_s for metrics in self.study.epochs[number])
            for number in choose_finalists(self._standings(), self.count)
        ]
        if not seconds:
            return []
        finalists = min(self.count, self.study.trials - 1) + 1
        seconds = [fmean(seconds)] * (finalists - len(seconds)) + seconds
        return [self.study.rules.epochs * each for each in seconds] * self.repeats

    def _epochs_s(self) -> Iterator[float]:
        for epochs in (*self.study.epochs.values(), *self.epochs.values()):
            yield from (metrics.wall_s for metrics in epochs)
