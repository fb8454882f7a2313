"""Ends trials that a user has stopped while the search ran."""

from collections.abc import Iterable
from dataclasses import replace

from results.records import StopReason
from results.side_store import ENDED_BY_HAND, SteeringAction, SteeringRecord
from search.early_stopping.decision import Ending, stopped_ending


class StopsByHand:
    """Knows which trials end by hand, and after which epoch. Earlier `records` are taken again, so
    that a resumed search decides alike; `search_ended` is true once this session ends by hand.
    """

    def __init__(self, records: Iterable[SteeringRecord] = ()) -> None:
        self.search_ended = False
        self._last_epochs = {
            record.trial: record.epoch
            for record in records
            if record.action is SteeringAction.STOP
            and record.trial is not None
            and record.epoch is not None
        }

    def add(self, number: int, epoch: int) -> None:
        """Has a trial end after this epoch, unless a rule ends it before."""
        self._last_epochs[number] = epoch

    def last_epoch(self, number: int) -> int | None:
        """Returns the epoch after which a trial ends by hand, or `None`."""
        return self._last_epochs.get(number)

    def ending(self, number: int, epoch: int, decided: Ending | None) -> Ending | None:
        """Returns how a trial ends after an epoch for which the rules have `decided`, or `None`.

        Every rule but that of the budget outranks the user, because it holds without one: a trial
        whose last epoch this is, for example, is complete.
        """
        if decided is not None and decided.reason is not StopReason.BUDGET:
            return decided
        if (last := self.last_epoch(number)) is not None and epoch >= last:
            return stopped_ending(StopReason.BY_HAND, f"by search.steer, after epoch {epoch}")
        if decided and self.search_ended:
            return replace(decided, detail=ENDED_BY_HAND)
        return decided
