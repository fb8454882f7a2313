"""Holds one search: its proposals, its results and its decisions. Knows no Ray.

`epochs.jsonl` and `trials.jsonl` are the truth, which Optuna's journal follows
(`search.study.optuna_mirror`). A killed search continues by replaying them.
"""

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Any, Generic

from optuna.storages import BaseStorage

from common.text import last_lines
from results.records import (
    EpochMetrics,
    NetworkCosts,
    StopReason,
    TrainingId,
    TrialRecord,
    TrialState,
)
from results.side_store import SteeringRecord
from search.early_stopping.by_hand import StopsByHand
from search.early_stopping.decision import Ending, Rules, decide_ending, ending_of, failed_ending
from search.samplers.gain_watch import GainWatch
from search.samplers.learning_curves import value_of
from search.space import SpaceError
from search.study.duplicates import TriedConfigurations, configuration_key
from search.study.horizons import Horizon, HorizonRungs, TrialQueue, first_horizon, horizon_of
from search.study.objectives import add_costs, costs_of
from search.study.optuna_mirror import OptunaMirror
from search.study.prior_trials import PriorTrial, StudyEvidence
from search.study.proposer import C, ConfigurationProposer, Proposal
from search.study.screening import NoScreening
from search.study.side_trainings import GIVE_UP
from search.study.store import TrialStore
from trainables.config import ConfigError


class Study(Generic[C]):
    """Proposes trials, records their epochs, decides which continue. Call it from one thread.

    `trials` is the number of configurations tried, each once. Trials have the numbers of the Optuna
    study, so a number is missing where a configuration was proposed again. `time_left` returns the
    seconds until nothing more is proposed and running trials end with their epoch. By default,
    there is one horizon, of `rules.epochs`, that begins with the proposer's baseline. A baseline is
    exempt from every rule but divergence and time, so that it is compared at the winner's length.
    The sampler learns nothing from trials whose numbers are in `outside`, because the space has
    changed. Nothing more is proposed once `gains` is enough; running trials go on. Trials that
    aren't queued wait for the `screening`, whose best configurations come first. `steered` is what
    a user has changed in earlier sessions (`search.study.steering`).
    """

    def __init__(
        self,
        *,
        proposer: ConfigurationProposer[C],
        rules: Rules,
        trials: int,
        store: TrialStore,
        storage: BaseStorage,
        time_left: Callable[[], float] = lambda: math.inf,
        horizons: Sequence[Horizon] = (),
        earlier: Sequence[PriorTrial] = (),
        outside: Container[int] = (),
        gains: GainWatch | None = None,
        screening: NoScreening | None = None,
        steered: Sequence[SteeringRecord] = (),
    ) -> None:
        self.rules, self.trials, self.store = rules, trials, store
        baseline, usual = proposer.baseline_params(), (rules.epochs, rules.grace)
        self.horizons = horizons or (first_horizon(*usual, baseline, proposer.believed_params()),)
        self._screening, self._several = screening or NoScreening(), len(rules.objectives) > 1
        costs = (lambda n: costs_of(self.records[n], rules.objectives)) if self._several else None
        self._before: Callable[[], int] = lambda: len(earlier) + self._screening.shown()
        self.stops, drawn = StopsByHand(steered), lambda n: proposer.is_random(self._before() + n)
        self._queue = TrialQueue(self.horizons, self._screening.queued, drawn, steered)
        self.rungs = HorizonRungs(self.horizons, rules.factor, costs, self._queue.is_random)
        self.records: dict[int, TrialRecord] = store.trials()
        self.epochs: dict[int, list[EpochMetrics]] = {number: [] for number in self.records}
        self.restore: Callable[[dict[str, Any]], C] = proposer.restore
        self._proposer = proposer
        self._marks = (*self.rungs.levels, self.horizons[-1].epochs)
        self._length_of: Callable[[int], int] = lambda n: horizon_of(self.horizons, n).epochs
        shown = (self.records, self.epochs, self._marks, self._length_of)
        self._known = StudyEvidence(*shown, earlier=earlier, outside=outside)
        self._evidence, self._look = self._known.evidence, self._known.look
        self.gains = gains or GainWatch(rules.min_gain, several=self._several)
        self._cut = set[int]()
        self._time_left: Callable[[], float] = lambda: math.inf  # until the records are replayed
        self._failed_in_a_row, self._tried = 0, TriedConfigurations()
        self._mirror = OptunaMirror(storage, store.name, baseline, rules.objectives)
        self._waiting = list[Proposal[C]]()
        self._replay()
        self._time_left = time_left

    # --- proposing -------------------------------------------------------------------------

    def ask(self) -> Proposal[C] | None:
        """Returns the next trial, first those that a killed search left unfinished, or `None`."""
        if self._time_left() <= 0 or self.gave_up():
            return None
        if self._waiting:
            proposal = self._waiting.pop(0)
            if proposal.number in self._cut:
                self._put(self.records[proposal.number])
            return proposal
        while not self._all_begun():
            number = self._mirror.next_number()
            queued = self._queue.find(number)
            if queued is None and self._screening.waiting():
                return None
            seen = self._screening.extend(self._evidence(), self._marks)
            usual = self._proposer.sampler(self._before() + number, *seen)
            sampler = self._tried.sampler(usual, number)
            trial = self._mirror.ask(sampler, queued.params if queued else None)
            try:
                params, config = self._proposer.propose(trial)
            except (ConfigError, SpaceError) as error:
                self._begin(number, {}, {})
                self.fail(number, str(error))
                continue
            key = configuration_key(params, config)
            if (earlier := self._tried.number_of(key)) is not None:
                self._tried.count_duplicate()
                self._mirror.refuse(number, same_as=earlier)
                continue
            self._tried.add(number, key)
            self._begin(number, params, config.to_dict())
            return self._proposal(number, config)
        return None

    def _proposal(self, number: int, config: C) -> Proposal[C]:
        baseline, done = horizon_of(self.horizons, number).is_baseline(number), self.epochs[number]
        return Proposal(
            training=TrainingId(number),
            config=config,
            epochs_done=len(done),
            baseline=baseline,
            by_hand=number in self._queue.by_hand,
        )

    def finished(self) -> bool:
        """Returns whether every trial has ended and no more is proposed, or the time is up."""
        ended = all(r.state is not TrialState.RUNNING for r in self.records.values())
        return self._time_left() <= 0 or (ended and self._all_begun())

    def _all_begun(self) -> bool:
        if len(self.records) >= self.trials:
            return True
        asked = self._queue.asked_from(self._mirror.next_number())
        return (self.exhausted() or self.gains.enough()) and not asked

    def exhausted(self) -> bool:
        """Returns whether nothing more is proposed because every configuration has been tried."""
        return self._tried.exhausted

    def running(self) -> bool:
        """Returns whether a trial that was proposed in this session hasn't ended."""
        waiting = {proposal.number for proposal in self._waiting}
        return bool({n for n, r in self.records.items() if r.state is TrialState.RUNNING} - waiting)

    def gave_up(self) -> bool:
        """Returns whether `GIVE_UP` trials in a row have failed, without an epoch between."""
        return self._failed_in_a_row >= GIVE_UP

    def _begin(self, number: int, params: dict[str, Any], config: dict[str, Any]) -> None:
        record = TrialRecord(number=number, state=TrialState.RUNNING, params=params, config=config)
        self.epochs[number] = []
        self.records[number] = add_costs(record, self.records.values()) if self._several else record
        if config:  # without one it fails at once, and is recorded as failed
            self.store.add_trial(self.records[number])

    # --- deciding --------------------------------------------------------------------------

    def unmeasured(self, number: int) -> bool:
        """Returns whether `measured` must be called before the trial's first epoch."""
        return self._several and self.records[number].latency_ms is None

    def measured(self, number: int, costs: NetworkCosts) -> None:
        """Records what a trial's network costs, or what the first network like it did cost."""
        if self.unmeasured(number):
            self._put(add_costs(self.records[number], self.records.values(), costs))

    def report(self, number: int, metrics: EpochMetrics) -> Ending | None:
        """Records one epoch, and returns `None` when the trial continues, or else its ending.

        An epoch that is recorded already, because a worker went back to its checkpoint, doesn't
        count again. For a trial that has ended, the result is its ending again.
        """
        if self.records[number].state is not TrialState.RUNNING:
            return ending_of(self.records[number])
        if metrics.epoch <= len(self.epochs[number]):
            return None
        self.store.add_epoch(number, metrics)
        self._failed_in_a_row = 0
        return self._take(number, metrics)

    def may_retry(self, number: int) -> bool:
        """Returns whether a trial that breaks off now is tried again: once, over all sessions."""
        record = self.records[number]
        return record.state is TrialState.RUNNING and record.retried is None

    def retry(self, number: int, error: str, config: C) -> Proposal[C]:
        """Returns a trial that `error` broke off, to continue from its checkpoint as `config`."""
        self.store.add_error(number, error)
        why, whole = last_lines(error), config.to_dict()
        self._put(replace(self.records[number], retried=why, config=whole))
        return self._proposal(number, config)

    def fail(self, number: int, error: str, reason: StopReason | None = None) -> None:
        """Ends a trial that failed; the last lines of `error` become the record's `detail`."""
        if self.records[number].state is TrialState.RUNNING:
            self._failed_in_a_row += 1
            self.store.add_error(number, error)
            self._end(number, failed_ending(last_lines(error), reason))
            if reason is not StopReason.MEMORY:
                self._tried.forget(number)

    def _take(self, number: int, metrics: EpochMetrics) -> Ending | None:
        epochs = self.epochs[number]
        epochs.append(metrics)
        self._mirror.report(number, value_of(metrics), metrics.epoch)
        horizon = horizon_of(self.horizons, number)
        ending = decide_ending(
            epochs,
            self.rules,
            full_epochs=horizon.epochs,
            is_baseline=horizon.is_baseline(number),
            compare=lambda: self.rungs.record(number, metrics.epoch, value_of(metrics)),
            time_is_up=lambda: self._time_left() <= 0,
        )
        if ending := self.stops.ending(number, metrics.epoch, ending):
            self._end(number, ending)
        return ending

    def _end(self, number: int, ending: Ending) -> None:
        record = self.records[number].reached(self.epochs[number])
        record = replace(record, state=ending.state, reason=ending.reason, detail=ending.detail)
        self.records[number] = record
        self._put(record := self.gains.judge(record, len(self.records), self._look))
        if ending.reason is not StopReason.BUDGET:  # those go on when the budget is raised
            self._mirror.tell(record, self._length_of(number))
            self.store.drop_checkpoint(number)

    def _put(self, record: TrialRecord) -> None:
        self.records[record.number] = record
        self.store.add_trial(record)

    def _replay(self) -> None:
        """Restores the rungs, the epochs and Optuna from the records on disk.

        Trials that an earlier budget stopped are as unfinished as those of a killed search, because
        its end forestalled the other rules. On disk they stay as they are until they continue.
        """
        known = self._mirror.follow(self.records)
        self._tried.recall(self.records, known, self._proposer.restore)
        for number, record in self.records.items():
            if record.reason is StopReason.BUDGET and self._mirror.is_open(number):
                self._cut.add(number)
                again = replace(record, state=TrialState.RUNNING, reason=None, detail=None)
                self.records[number] = again
        running = [n for n, r in self.records.items() if r.state is TrialState.RUNNING]
        for number, metrics in self.store.epochs():
            if number in self.epochs and metrics.epoch == len(self.epochs[number]) + 1:
                self._replay_epoch(number, metrics)
        for number, record in self.records.items():
            if record.state is not TrialState.RUNNING and record.reason is not StopReason.BUDGET:
                self.store.drop_checkpoint(number)
                if self._mirror.is_open(number):
                    self._mirror.tell(record, self._length_of(number))
        self.gains.recall(self.records.values(), self.horizons[-1].first)
        for record in (self.records[number] for number in running):
            if record.state is TrialState.RUNNING:
                self._waiting.append(self._proposal(record.number, self.restore(record.config)))
            else:  # the search was killed before it recorded that this epoch had ended the trial
                self._put(self.gains.judge(record, len(self.records), self._look))

    def _replay_epoch(self, number: int, metrics: EpochMetrics) -> None:
        record = self.records[number]
        if record.state is TrialState.RUNNING:
            self._take(number, metrics)
            return
        self.epochs[number].append(metrics)
        self.records[number] = record.standing(self.epochs[number])
        self._known.forget(number)
        if record.reason is StopReason.DIVERGED and metrics.epoch == record.epochs:
            return  # the epoch that diverged was never compared
        self.rungs.record(number, metrics.epoch, value_of(metrics))
