"""One search: what was proposed, what was seen, what was decided. Knows no Ray.

`epochs.jsonl` and `trials.jsonl` are the truth. The Optuna study on its journal file follows
them: it proposes, and `optuna-dashboard` shows it live. A killed search is continued by
replaying its records through the same decisions.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState as OptunaState

from results.pareto import Point, values
from results.records import EpochMetrics, NetworkCosts, StopReason, TrialRecord, TrialState
from results.store import RunError
from search import stopping
from search.evidence import Evidence
from search.front_rungs import make_rungs
from search.objectives import costs_of, priced, tell_missing
from search.printing import last_line
from search.proposing import C, Proposes
from search.space import SpaceError
from search.storage import Store, open_optuna
from search.trials import COMPLETE, Ending, Proposal, Rules, stopped
from trainables.config import ConfigError

GIVE_UP = 5
"""Failures one after the other after which a search proposes no more."""


class Study(Generic[C]):
    """Proposes trials, takes their epochs, decides which go on. Call it from one thread.

    `trials` is how many are proposed altogether; `time_left` gives the seconds until nothing
    more is proposed and running trials end with their epoch. The baseline, where the proposer
    has one, is trial 0 and is exempt from every rule but divergence and time: winner and
    baseline are compared at equal length.
    """

    def __init__(
        self,
        *,
        proposer: Proposes[C],
        rules: Rules,
        trials: int,
        store: Store,
        storage: BaseStorage,
        time_left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.rules, self.trials, self.store = rules, trials, store
        self._several = len(rules.objectives) > 1
        self.rungs = make_rungs(
            rules.grace, rules.factor, rules.epochs, self._costs if self._several else None
        )
        self.records: dict[int, TrialRecord] = {}
        self.epochs: dict[int, list[EpochMetrics]] = {}
        self._proposer = proposer
        self._marks = (*self.rungs.levels, rules.epochs)
        self._time_left: Callable[[], float] = lambda: math.inf  # until the records are replayed
        self._failed_in_a_row = 0
        baseline = proposer.baseline_params()
        self._exempt = None if baseline is None else 0
        self._optuna = open_optuna(storage, store.name, baseline, rules.objectives)
        self._asked: dict[int, optuna.Trial] = {}
        self._orphans: list[optuna.Trial] = []
        self._reported: dict[int, set[int]] = {}
        self._waiting: list[Proposal[C]] = []
        self._replay()
        self._time_left = time_left

    # --- proposing -------------------------------------------------------------------------

    def ask(self) -> Proposal[C] | None:
        """The next trial: first those that a killed search left unfinished; `None` at the end."""
        if self._time_left() <= 0 or self.gave_up():
            return None
        if self._waiting:
            return self._waiting.pop(0)
        while len(self.records) < self.trials:
            number = len(self.records)
            self._optuna.sampler = self._proposer.sampler(number, self._evidence(), self._marks)
            trial = self._orphans.pop(0) if self._orphans else self._optuna.ask()
            try:
                params, config = self._proposer.propose(trial)
            except (ConfigError, SpaceError) as error:
                self._begin(trial, {}, {})
                self.fail(number, str(error))
                continue
            self._begin(trial, params, config.to_dict())
            return Proposal(number=number, config=config)
        return None

    def finished(self) -> bool:
        """Whether nothing is left to do: every trial has ended, or the time is up."""
        ended = all(r.state is not TrialState.RUNNING for r in self.records.values())
        return self._time_left() <= 0 or (ended and len(self.records) >= self.trials)

    def running(self) -> bool:
        """Whether a trial that was proposed in this session hasn't ended."""
        waiting = {proposal.number for proposal in self._waiting}
        return any(
            record.state is TrialState.RUNNING and number not in waiting
            for number, record in self.records.items()
        )

    def gave_up(self) -> bool:
        """Whether nothing more is proposed because trials keep failing, without an epoch between.

        Then the machine is at fault more likely than `GIVE_UP` configurations in a row.
        """
        return self._failed_in_a_row >= GIVE_UP

    def _evidence(self) -> list[Evidence]:
        """What is known of every configuration so far."""
        return [
            Evidence(
                params=record.params,
                values={e.epoch: _value(e) for e in self.epochs[number]},
                running=record.state is TrialState.RUNNING,
                unfit=not record.trusted,
            )
            for number, record in self.records.items()
        ]

    def _begin(self, trial: optuna.Trial, params: dict[str, Any], config: dict[str, Any]) -> None:
        record = TrialRecord(
            number=trial.number, state=TrialState.RUNNING, params=params, config=config
        )
        self._asked[trial.number] = trial
        self.epochs[trial.number] = []
        self._put(priced(record, self.records.values()) if self._several else record)

    def _costs(self, number: int) -> Point:
        return costs_of(self.records[number], self.rules.objectives)

    # --- deciding --------------------------------------------------------------------------

    def unmeasured(self, number: int) -> bool:
        """Whether `measured` is to be called before the trial's first epoch."""
        return self._several and self.records[number].latency_ms is None

    def measured(self, number: int, costs: NetworkCosts) -> None:
        """Takes what a trial's network costs: what the first one like it was found to cost."""
        if self.unmeasured(number):
            self._put(priced(self.records[number], self.records.values(), costs))

    def report(self, number: int, metrics: EpochMetrics) -> Ending | None:
        """Takes one epoch; `None` when the trial goes on, else how it has ended.

        An epoch that is recorded already (a worker went back to its checkpoint) is not counted
        again; an ended trial answers with its ending again.
        """
        if self.records[number].state is not TrialState.RUNNING:
            return self._ending(number)
        if metrics.epoch <= len(self.epochs[number]):
            return None
        self.store.add_epoch(number, metrics)
        self._failed_in_a_row = 0
        return self._take(number, metrics)

    def fail(self, number: int, error: str) -> None:
        """Ends a trial that can't be trained; the last line of `error` says why."""
        if self.records[number].state is TrialState.RUNNING:
            self._failed_in_a_row += 1
            self.store.add_error(number, error)
            self._end(number, Ending(state=TrialState.FAILED, detail=last_line(error)))

    def _take(self, number: int, metrics: EpochMetrics) -> Ending | None:
        self.epochs[number].append(metrics)
        if not self._several and metrics.epoch not in self._reported.get(number, ()):
            self._asked[number].report(_value(metrics), metrics.epoch)
        ending = self._decide(number)
        if ending:
            self._end(number, ending)
        return ending

    def _decide(self, number: int) -> Ending | None:
        """Divergence first, then completion, then what the baseline is exempt from."""
        epochs, rules = self.epochs[number], self.rules
        last = epochs[-1]
        if said := stopping.diverged(epochs, rules.num_classes):
            return stopped(StopReason.DIVERGED, said)
        goes_on = self.rungs.record(number, last.epoch, _value(last))
        if last.epoch >= rules.epochs:
            return COMPLETE
        if self._time_left() <= 0:
            return stopped(StopReason.BUDGET, "the time budget is used up")
        if number == self._exempt:
            return None
        if rules.max_gap and (
            said := stopping.overfitting(epochs, rules.max_gap, rules.gap_patience)
        ):
            return stopped(StopReason.OVERFITTING, said)
        if rules.plateau_patience and (said := stopping.plateau(epochs, rules.plateau_patience)):
            return stopped(StopReason.PLATEAU, said)
        if not goes_on:
            said = f"not in the top 1/{rules.factor} at epoch {last.epoch}"
            return stopped(StopReason.RUNG, said)
        return None

    def _end(self, number: int, ending: Ending) -> None:
        record = self.records[number].reached(self.epochs[number])
        self._put(replace(record, state=ending.state, reason=ending.reason, detail=ending.detail))
        self._tell(number)
        self.store.drop_checkpoint(number)

    def _ending(self, number: int) -> Ending:
        record = self.records[number]
        return Ending(state=record.state, reason=record.reason, detail=record.detail)

    def _tell(self, number: int) -> None:
        """The same to Optuna: PRUNED, not COMPLETE, for what was stopped."""
        record = self.records[number]
        trial = self._asked.pop(number)
        if record.state is TrialState.COMPLETE:
            self._optuna.tell(trial, values(record, self.rules.objectives))
        elif record.state is TrialState.STOPPED and record.trusted:
            if self._several:
                tell_missing(trial, self.rules.epochs - record.epochs)
            self._optuna.tell(trial, state=OptunaState.PRUNED)
        else:
            self._optuna.tell(trial, state=OptunaState.FAIL)

    def _put(self, record: TrialRecord) -> None:
        self.records[record.number] = record
        self.store.add_trial(record)

    # --- resuming --------------------------------------------------------------------------

    def _replay(self) -> None:
        """Brings rungs, epochs and Optuna to where the records on disk stand."""
        self.records = self.store.trials()
        self.epochs = {number: [] for number in self.records}
        known = self._optuna.get_trials(deepcopy=False)
        begun = sum(frozen.state is not OptunaState.WAITING for frozen in known)
        if begun < len(self.records):
            raise RunError(
                f"The Optuna journal must hold every trial of the run {self.store.name}, but it "
                f"has {begun} of {len(self.records)}; restore it from a copy of the run."
            )
        for frozen in known:
            if frozen.state is OptunaState.RUNNING:
                trial = optuna.Trial(self._optuna, frozen._trial_id)
                self._reported[frozen.number] = set(frozen.intermediate_values)
                if frozen.number in self.records:
                    self._asked[frozen.number] = trial
                else:  # killed between asking Optuna and recording the trial
                    self._orphans.append(trial)
        for number, metrics in self.store.epochs():
            if number in self.epochs and metrics.epoch == len(self.epochs[number]) + 1:
                self._replay_epoch(number, metrics)
        for number, record in self.records.items():
            if record.state is not TrialState.RUNNING:
                self.store.drop_checkpoint(number)
                if number in self._asked:
                    self._tell(number)
        self._waiting = [
            Proposal(
                number=number,
                config=self._proposer.restore(record.config),
                epochs_done=len(self.epochs[number]),
            )
            for number, record in self.records.items()
            if record.state is TrialState.RUNNING
        ]

    def _replay_epoch(self, number: int, metrics: EpochMetrics) -> None:
        record = self.records[number]
        if record.state is TrialState.RUNNING:
            self._take(number, metrics)
            return
        self.epochs[number].append(metrics)
        if record.reason is StopReason.DIVERGED and metrics.epoch == record.epochs:
            return  # the epoch that diverged was never compared
        self.rungs.record(number, metrics.epoch, _value(metrics))


def _value(metrics: EpochMetrics) -> float:
    """The metric that the search maximises; it is missing in final training only."""
    return metrics.val_top1 if metrics.val_top1 is not None else 0.0
