"""Extends a study by what a user may ask of its trials while it runs. Knows no Ray."""

from collections.abc import Mapping
from typing import Any

from results.analysis.ranking import best_trial
from results.records import TrialRecord, TrialState
from search.study.duplicates import configuration_key
from search.study.proposer import C
from search.study.study import Study


class SteeredStudy(Study[C]):
    """Is a study whose trials a user may end, and to which a user may add configurations."""

    def stop(self, number: int) -> int:
        """Ends a trial by hand after the epoch that it trains now, and returns that epoch. A trial
        that no worker trains, because an earlier session left it, ends at once where it has had an
        epoch. Raises `KeyError` where there is no such trial, and `ValueError` where it has ended.
        """
        if self.records[number].state is not TrialState.RUNNING:
            raise ValueError(f"trial {number} has ended")
        done = len(self.epochs[number])
        waits = [each for each in self._waiting if each.number == number and done]
        epoch = done if waits else done + 1
        self.stops.add(number, epoch)
        return epoch

    def end_stopped(self) -> list[int]:
        """Ends the trials that no worker trains and that a user has stopped, and returns their
        numbers.
        """
        ended = []
        for proposal in list(self._waiting):
            number, done = proposal.number, len(self.epochs[proposal.number])
            ending = self.stops.ending(number, done, None) if done else None
            if ending:
                self._waiting.remove(proposal)
                self._cut.discard(number)
                self._end(number, ending)
                ended.append(number)
        return ended

    def same_as(self, params: Mapping[str, Any], config: C) -> int | None:
        """Returns the trial that has tried a configuration, or is going to, or `None`."""
        waiting = self._queue.asked_from(self._mirror.next_number())
        found = self._tried.number_of(configuration_key(params, config))
        return next((n for n in waiting if self._queue.by_hand[n] == params), found)

    def lacking(self) -> int:
        """Returns how many more trials the study would have to have so that another one could be
        asked for: 0 where one can.
        """
        needed = self.before(self._next_by_hand()) + 1
        return max(0, needed - (self.trials - len(self.records)))

    def before(self, number: int) -> int:
        """Returns how many trials begin before the one of this number, which hasn't begun."""
        return number - self._mirror.next_number()

    def unreached(self) -> list[int]:
        """Returns the numbers of those trials that a user has asked for, but for which the number
        of trials leaves no room.
        """
        waiting = self._queue.asked_from(self._mirror.next_number())
        return [n for n in waiting if self.before(n) >= self.trials - len(self.records)]

    def over(self) -> bool:
        """Returns whether nothing more is proposed although the number of trials allows it."""
        return self.exhausted() or self.gains.enough() or self.gave_up()

    def add(self, params: Mapping[str, Any]) -> int:
        """Has a trial try these parameters, as soon as what the run begins with has been proposed,
        and returns the trial's number.
        """
        number = self._next_by_hand()
        self._queue.by_hand[number] = dict(params)
        return number

    def _next_by_hand(self) -> int:
        behind = max(self._queue.by_hand, default=-1) + 1
        return max(self._mirror.unasked(), self._queue.end(), behind)

    def best(self) -> TrialRecord | None:
        """Returns the best trial so far, or `None` before the first epoch."""
        standings = {n: each.standing(self.epochs[n]) for n, each in self.records.items()}
        return best_trial(standings, self.rules.objectives)

    @property
    def baseline_params(self) -> dict[str, Any]:
        """Returns the baseline's parameters; none where there is no baseline."""
        return self._proposer.baseline_params() or {}
