"""Carries out what a user asks of a running search, on its study and its budget. Knows no Ray."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic

from common.durations import as_duration
from common.text import format_duration
from results.records import TrialState
from results.side_store import SteeringAction, SteeringRecord
from search.study.budget import Budget
from search.study.proposer import C
from search.study.steering.commands import (
    ChangeBudget,
    End,
    SetConcurrency,
    SteeringError,
    Stop,
    Try,
    read_command,
)
from search.study.steering.steered_study import SteeredStudy


class Steering(Generic[C]):
    """Changes a running search. Call it from the thread that decides.

    study, budget: those of the search.
    make: returns (searched parameters, whole configuration) from values as texts by name, and
        parameters to fill the rest from. Raises `SteeringError`.
    stamp: returns a new record of the action and the words, with the date and the session.
    keep: writes a record to the disk. What the record says happens after it.
    save: keeps changed options of the search, by name, for its next session.
    allocated: the number of slots that the session has; `at_once` of them are used.
    used_s: returns the seconds used of a time budget.
    on_gpus: whether trials take GPUs, which GPU-hours count.
    most_trials: the most trials that a search may have.
    """

    def __init__(
        self,
        study: SteeredStudy[C],
        budget: Budget,
        make: Callable[[Mapping[str, str], Mapping[str, Any]], tuple[dict[str, Any], C]],
        *,
        stamp: Callable[[SteeringAction, str], SteeringRecord],
        keep: Callable[[SteeringRecord], object] = lambda _: None,
        save: Callable[[Mapping[str, Any]], object] = lambda _: None,
        allocated: int = 1,
        used_s: Callable[[], float] = lambda: 0.0,
        on_gpus: bool = False,
        most_trials: int = 1_000_000,
    ) -> None:
        self._study, self._budget, self._make = study, budget, make
        self._stamp, self._keep, self._save = stamp, keep, save
        self.allocated = self.at_once = allocated
        self._used_s, self._on_gpus, self._most_trials = used_s, on_gpus, most_trials

    def carry_out(self, words: Sequence[str]) -> SteeringRecord:
        """Does what a user has typed, and returns its record, which holds the answer. Raises
        `SteeringError` with the reasons, and changes nothing, where that can't be done.
        """
        command = read_command(words)
        if self._budget.ended:
            raise SteeringError(
                "A search must not be ending already, but this one was ended by hand; wait for it, "
                "and go on with it by --resume."
            )
        record = self._stamp(SteeringAction(words[0]), " ".join(words))
        match command:
            case Stop(trial):
                return self._stop(record, trial)
            case Try():
                return self._try(record, command)
            case ChangeBudget():
                return self._change_budget(record, command)
            case SetConcurrency(at_once):
                return self._limit(record, at_once)
            case End():
                return self._end(record)

    def _stop(self, record: SteeringRecord, number: int) -> SteeringRecord:
        found = self._study.records.get(number)
        running = [n for n, r in self._study.records.items() if r.state is TrialState.RUNNING]
        remedy = f"running are {', '.join(map(str, running))}." if running else "none is running."
        if found is None:
            raise SteeringError(f"stop needs a trial that has begun, but {number} hasn't; {remedy}")
        if found.state is not TrialState.RUNNING:
            how = f"{found.state}, {found.reason}" if found.reason else str(found.state)
            raise SteeringError(
                f"stop needs a trial that is running, but {number} has ended ({how}); {remedy}"
            )
        epoch = self._study.stop(number)
        done = len(self._study.epochs[number])
        answer = f"Trial {number} ends now, after epoch {epoch}."
        if epoch > done:
            answer = f"Trial {number} ends with epoch {epoch}, which it trains now or next."
        kept = self._kept(record, answer, trial=number, epoch=epoch)
        self._study.end_stopped()
        return kept

    def _try(self, record: SteeringRecord, command: Try) -> SteeringRecord:
        study = self._study
        if study.over():
            raise SteeringError(
                "try needs a search that still proposes trials, but this one doesn't any more; "
                "start a new run, or name the configuration by --set in one."
            )
        if lacking := study.lacking():
            raise SteeringError(
                f"try needs a trial that hasn't begun, but all {study.trials} have, or are asked "
                f"for; first raise their number by `budget +{lacking} trials`."
            )
        best = None if command.from_baseline else study.best()
        base = study.baseline_params if best is None else best.params
        params, config = self._make(command.values, base)
        if (same := study.same_as(params, config)) is not None:
            raise SteeringError(
                f"try needs a configuration that no trial has, but trial {same} has this one; "
                "name another value."
            )
        number = study.add(params)
        rest = "the baseline" if best is None else f"trial {best.number}, the best so far"
        named = ", ".join(f"{name}={params[name]}" for name in command.values)
        answer = f"Trial {number} tries {named}, with the other values of {rest}, and comes next"
        if before := study.before(number):
            answer += f" after {before} that {'was' if before == 1 else 'were'} queued before it"
        return self._kept(record, f"{answer}.", trial=number, params=params)

    def _change_budget(self, record: SteeringRecord, command: ChangeBudget) -> SteeringRecord:
        if command.trials is not None:
            return self._change_trials(record, command.trials, added=command.added)
        if command.gpu_hours is not None:
            return self._change_gpu_hours(record, command.gpu_hours, added=command.added)
        present, given = self._budget.time_s, command.seconds or 0.0
        new = _sum(present, given, "time budget", "budget 2h") if command.added else given
        used = self._used_s()
        if new <= used:
            raise SteeringError(
                f"The time budget must be above the {format_duration(used)} that the search has "
                f"used, but got {format_duration(new)}; give more, or end it by `end`."
            )
        answer = f"The time budget is {format_duration(new)}, of which {format_duration(used)} "
        self._save({"time_budget": as_duration(new)})
        self._budget.change_time(new, lambda: new - self._used_s())
        return self._kept(record, f"{answer}are used.", time_s=new)

    def _change_trials(self, record: SteeringRecord, given: int, *, added: bool) -> SteeringRecord:
        begun, present = len(self._study.records), self._study.trials
        new = present + given if added else given
        most = self._most_trials
        if not begun <= new <= most:
            raise SteeringError(
                f"The number of trials must lie in {begun}…{most}, because {begun} have begun, but "
                f"got {new}; give another one."
            )
        self._save({"trials": new})
        self._study.trials = new
        answer = f"The search tries {new} trials, and has begun {begun}."
        if dropped := self._study.unreached():
            numbers = ", ".join(map(str, dropped))
            answer += f" Asked for by `try`, but no longer reached: {numbers}."
        return self._kept(record, answer, trials=new)

    def _change_gpu_hours(
        self, record: SteeringRecord, given: float, *, added: bool
    ) -> SteeringRecord:
        if not self._on_gpus:
            raise SteeringError(
                f"gpu-hours need trials that take GPUs, but these train on cores (got {given:g}); "
                "limit the time instead, by `budget 2h`."
            )
        present, used = self._budget.gpu_s, self._budget.gpu_used_s() / 3600
        before = None if present is None else present / 3600
        new = _sum(before, given, "limit of GPU-hours", "budget 8 gpu-hours") if added else given
        if new <= used:
            raise SteeringError(
                f"The GPU-hours must be above the {used:.3g} that the search has used, but got "
                f"{new:g}; give more, or end it by `end`."
            )
        self._save({"gpu_hours": new})
        self._budget.change_gpu_s(new * 3600)
        return self._kept(record, f"{new:g} GPU-hours, {used:.3g} used.", gpu_hours=new)

    def _limit(self, record: SteeringRecord, at_once: int) -> SteeringRecord:
        if not 1 <= at_once <= self.allocated:
            raise SteeringError(
                f"concurrency must lie in 1…{self.allocated}, because this session has allocated "
                f"as many slots, but got {at_once}; for more, end the search by `end` and go on "
                "by --resume with another --concurrency."
            )
        self._save({"concurrency": str(at_once)})
        self.at_once = at_once
        self._budget.change_workers(at_once)
        answer = (
            f"At most {at_once} of {self.allocated} trials run at once, and running ones go on."
        )
        return self._kept(record, answer, at_once=at_once)

    def _end(self, record: SteeringRecord) -> SteeringRecord:
        kept = self._kept(record, "The search ends: running trials end with their epochs.")
        self._budget.end()
        self._study.stops.search_ended = True
        return kept

    def _kept(self, record: SteeringRecord, answer: str, **more: Any) -> SteeringRecord:
        done = replace(record, answer=answer, **more)
        self._keep(done)
        return done


def _sum(present: float | None, given: float, what: str, remedy: str) -> float:
    """Returns a raised limit. Raises `SteeringError` where there is none to raise."""
    if present is None:
        raise SteeringError(
            f"+ needs a {what} to add to, but this search has none; give a whole one, counted "
            f"from the search's beginning, by `{remedy}`."
        )
    return present + given
