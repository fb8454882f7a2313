"""Keeps an Optuna study in step with a search's records: it proposes trials, and
`optuna-dashboard` shows it.

The records are the truth. What Optuna lacks of them, because a search was killed between two
writes, is added when the search is resumed.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from results.analysis.pareto import OBJECTIVES, values
from results.analysis.rung_values import quiet_optuna
from results.records import StopReason, TrialRecord
from results.records import TrialState as Ended
from search.study.optuna_patches import ask_again, new_trial, reopen_trial

MISSING = "epochs_missing"
"""This constraint on Optuna's trials holds the number of epochs that a full training has more."""

MEMORY = "memory"
"""This constraint is 1 where a trial ran out of memory; trials that fitted don't have it."""


class OptunaMirror:
    """Asks Optuna for trials, and reports their epochs and endings to it.

    `study` is the Optuna study in `storage`, or a new one called `name` that begins with the
    parameters `baseline`. Trials have the numbers that Optuna gives them. `follow` must be called
    before all other methods.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        baseline: dict[str, Any] | None,
        objectives: Sequence[str],
    ) -> None:
        self.study = open_optuna(storage, name, baseline, objectives)
        self._objectives = objectives
        self._several = len(objectives) > 1
        self._next = 0  # the number of the next new trial
        self._asked: dict[int, optuna.Trial] = {}
        self._reported: dict[int, set[int]] = {}
        self._orphans: list[FrozenTrial] = []

    def follow(self, records: Mapping[int, TrialRecord]) -> Sequence[FrozenTrial]:
        """Adopts the records of a resumed search, and returns the trials that Optuna knows.

        A trial is open while Optuna has no ending of it, and an orphan if the search was killed
        after asking Optuna for it and before recording it. Optuna must have every recorded trial
        (`search.study.optuna_journal`).
        """
        known = self.study.get_trials(deepcopy=False)
        self._next = sum(trial.state is not TrialState.WAITING for trial in known)
        running = [trial for trial in known if trial.state is TrialState.RUNNING]
        recorded = [trial for trial in running if trial.number in records]
        self._asked = {trial.number: reopen_trial(self.study, trial) for trial in recorded}
        self._reported = {trial.number: set(trial.intermediate_values) for trial in recorded}
        self._orphans = [trial for trial in running if trial.number not in records]
        return known

    def next_number(self) -> int:
        """Returns the number of the trial that `ask` returns next; orphans come first."""
        return self._orphans[0].number if self._orphans else self._next

    def unasked(self) -> int:
        """Returns the lowest number that neither Optuna nor `ask` has given to a trial yet."""
        return max(self._next, len(self.study.get_trials(deepcopy=False)))

    def ask(self, sampler: BaseSampler, queued: Mapping[str, Any] | None) -> optuna.Trial:
        """Returns the next trial, with the parameters in `queued` if there are some. An orphan has
        its queued parameters already.
        """
        number = self.next_number()
        self.study.sampler = sampler
        if self._orphans:
            trial = ask_again(self.study, self._orphans.pop(0))
        else:
            # A search killed just here has put them into the journal already.
            if queued is not None and len(self.study.get_trials(deepcopy=False)) <= number:
                self.study.enqueue_trial(dict(queued))
            trial = new_trial(self.study) if queued is None else self.study.ask()
        self._next = max(self._next, number + 1)
        self._asked[number] = trial
        return trial

    def is_open(self, number: int) -> bool:
        """Returns whether Optuna has no ending of a trial."""
        return number in self._asked

    def report(self, number: int, value: float, epoch: int) -> None:
        """Reports an epoch's value, once, unless Optuna has the trial's ending. With several
        objectives Optuna accepts no such values.
        """
        new = self.is_open(number) and epoch not in self._reported.get(number, ())
        if new and not self._several:
            self._asked[number].report(value, epoch)

    def refuse(self, number: int, *, same_as: int) -> None:
        """Ends a trial whose configuration an earlier one has tried, as failed.

        Samplers learn nothing from it: a second copy of the earlier trial's result would count
        double, although nothing new was observed.
        """
        trial = self._asked.pop(number)
        trial.set_user_attr("same_as", same_as)
        self.study.tell(trial, state=TrialState.FAIL)

    def tell(self, record: TrialRecord, epochs: int) -> None:
        """Ends a trial whose full training takes `epochs`: a stopped trial is PRUNED, not COMPLETE.

        With several objectives, a trial that ran out of memory counts as lacking all of its epochs,
        and therefore ranks behind every stopped one. An ending that Optuna has already stays.
        """
        trial = self._asked.pop(record.number, None)
        if trial is None:
            return
        if record.state is Ended.COMPLETE:
            self.study.tell(trial, values(record, self._objectives))
        elif record.state is Ended.STOPPED and record.trusted:
            if self._several:
                _constrain_missing(trial, epochs - record.epochs)
            self.study.tell(trial, state=TrialState.PRUNED)
        elif record.reason is StopReason.MEMORY:
            if self._several:
                _constrain_missing(trial, epochs)
            _constrain_memory(trial)
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, state=TrialState.FAIL)


def open_optuna(
    storage: BaseStorage, name: str, first: dict[str, Any] | None, objectives: Sequence[str]
) -> optuna.Study:
    """Opens the study in `storage`, or makes a new one called `name` that begins with the
    parameters `first`. A run has one study, which keeps its name when the run's folder is copied,
    and one more for each change of its space, of which the last one counts.
    """
    known = optuna.get_all_study_names(storage)
    with quiet_optuna():
        study = optuna.create_study(
            storage=storage,
            study_name=(known or [name])[-1],
            directions=[OBJECTIVES[each] for each in objectives],
            load_if_exists=True,
        )
        if len(objectives) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(objectives))  # for `optuna-dashboard`
        if first is not None and not study.get_trials(deepcopy=False):
            study.enqueue_trial(first)
    return study


def _constrain_missing(trial: optuna.Trial, epochs: int) -> None:
    """Marks a stopped trial with the number of `epochs` that it lacks of a full training.

    With several objectives Optuna accepts no values before a trial's end, and would rank the
    earliest PRUNED trials first. As COMPLETE ones, they would be compared at another length; as
    FAIL, they would be forgotten. A violated constraint ranks them behind all complete trials, and
    those that were trained longer first.
    """
    if MISSING not in trial.constraints:  # set already where a search was killed in between
        trial.set_constraint(MISSING, epochs)


def _constrain_memory(trial: optuna.Trial) -> None:
    """Marks a trial that ran out of memory as infeasible, whether or not it reported epochs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # set already, by a search that was killed here
        trial.set_constraint(MEMORY, 1.0)
