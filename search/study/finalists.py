"""Trains the best trials and the baseline to the end again, with fresh seeds. Knows no Ray.

A search compares each configuration by one training, so that its leader owes something to luck.
Finalists are trained without rungs and without the rule against overfitting, with the same seeds
for each, and compared by the mean of their last epochs' val_top1
(`results.analysis.finalist_comparison`). Nothing is maximised over epochs, because final training
also uses its last epoch.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from statistics import fmean
from typing import Any

from results.analysis.finalist_comparison import BASELINE
from results.analysis.ranking import rank_trials
from results.records import FinalistRecord, TrainingId, TrialRecord, TrialState
from search.samplers.source import derived_seed
from search.study.proposer import Proposal
from search.study.side_trainings import SideTrainings
from search.study.store import SideTrainingStore
from search.study.study import Study
from trainables.config import TrialConfig


class Finalists(SideTrainings[FinalistRecord, TrialConfig]):
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
        store: SideTrainingStore[FinalistRecord],
        count: int,
        repeats: int,
        seed: int,
        time_left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.study = study
        self.count, self.repeats, self.seed = count, repeats, seed
        super().__init__(store, study.rules.num_classes, time_left)

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


def choose_finalists(trials: Mapping[int, TrialRecord], count: int) -> list[int]:
    """Returns the numbers of the `count` best trials besides the baseline, best first, and then
    that of the baseline.

    Trials are ordered as the best trial is chosen (`results.analysis.ranking`). Trials that failed
    or diverged are left out, even the baseline, and so is any trial that has the same
    configuration as a better one but for its length, because all finalists are trained to the same
    length.
    """
    order = [record for record in rank_trials(trials.values()) if record.trusted]
    baseline = [record for record in order if record.number == BASELINE]
    chosen: list[TrialRecord] = []
    for record in order:
        if len(chosen) == count:
            break
        known = [_any_length(each) for each in (*baseline, *chosen)]
        if _any_length(record) not in known:
            chosen.append(record)
    return [record.number for record in (*chosen, *baseline)]


def _any_length(record: TrialRecord) -> dict[str, Any]:
    return record.config | {"epochs": None}


def repeat_seed(seed: int, repeat: int) -> int:
    """Returns the seed, of 32 bits, that all finalists' trainings number `repeat` have in a study
    with this `seed`.
    """
    return derived_seed(seed, f"repeat {repeat}")
