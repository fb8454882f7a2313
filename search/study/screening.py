"""Screens many configurations by short trainings before the trials. Knows no Ray.

Each is trained on a share of the images, at a smaller size, by a schedule that is laid out for a
few epochs and ends with them. All are trained before the first trial but the baseline: on recorded
tables, short trainings of many configurations at once hold after half a full training what a search
without them holds after five, whereas the same trainings as rungs that each trial passes by itself
gain nothing, because the first ones pass for want of others (results/published/LOG.md).

The best ones become the first trials. The sampler learns from all of them: a short training's
accuracy is a configuration's value at the mark `SCREENED`, from which later values are extrapolated
as from any rung (`search.samplers.learning_curves.expected_ends`).
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from results.analysis.screening_worth import ScreeningWorth, judge_records, params_key
from results.records import ScreeningRecord, StopReason, TrainingId, TrialState
from search.samplers.learning_curves import SCREENED, ObservedTrial
from search.space import SpaceError
from search.study.horizons import QueuedConfiguration
from search.study.proposer import C, C_co, Proposal
from search.study.side_trainings import GIVE_UP, SideTrainings
from search.study.store import SideTrainingStore
from trainables.config import ConfigError

KEPT = 4
"""So many of the best configurations are tried first, after the baseline. On recorded tables two
and six do as well.
"""

ATTEMPTS = 20
"""A configuration is drawn at most this many times until it is a new one."""


class Drawing(Protocol[C_co]):
    """Draws configurations to screen, as `search.study.proposer.Proposer` does from a space."""

    def draw(self, number: int, attempt: int) -> tuple[dict[str, Any], C_co]:
        """Returns (searched parameters, whole configuration) of number `number`, the baseline for
        0. Each `attempt` draws another one.
        """

    def restore(self, config: dict[str, Any]) -> C_co:
        """Returns the configuration that the records hold as `config`."""


class NoScreening:
    """Stands for a search that begins with its trials."""

    def shown(self) -> int:
        """Returns how many configurations the sampler has learnt from before the trials."""
        return 0

    def waiting(self) -> bool:
        """Returns whether trials have to wait for the screening's end."""
        return False

    def queued(self, _place: int) -> QueuedConfiguration | None:
        """Returns the configuration to try at this place, from 0, or `None` if there is none."""
        return None

    def extend(
        self, evidence: Sequence[ObservedTrial], marks: Sequence[int]
    ) -> tuple[Sequence[ObservedTrial], Sequence[int]]:
        """Returns what the sampler learns from, and its marks: (evidence, marks), with what the
        screening has shown of each configuration.
        """
        return evidence, marks


class Screening(SideTrainings[ScreeningRecord, C], NoScreening):
    """Proposes the screening's trainings, and records their epochs. Call it from one thread.

    It is driven before the study, by `ask`; trainings that a killed search left unfinished
    continue. If the short trainings tell configurations hardly apart
    (`results.analysis.screening_worth`), nothing follows from them.

    count: the number of configurations, the baseline included.
    images: the share of the training images that each training sees.
    shorten: returns what is trained of a configuration.
    val_images: the number of images that an accuracy comes from.
    """

    def __init__(
        self,
        *,
        count: int,
        images: float,
        proposer: Drawing[C],
        shorten: Callable[[C], C],
        store: SideTrainingStore[ScreeningRecord],
        num_classes: int,
        val_images: int,
        time_left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        super().__init__(store, num_classes, time_left, images)
        self.count = count
        self._proposer, self._shorten, self._val_images = proposer, shorten, val_images
        self._worth: ScreeningWorth | None = None
        begun = len(self.records)
        self._exhausted = 0 < begun < count and self._draw(begun) is None

    # --- proposing -------------------------------------------------------------------------

    def ask(self) -> Proposal[C] | None:
        """Returns the next training, or `None` where none is left."""
        if not self.waiting():
            return None
        for key in (TrainingId(number, screening=True) for number in range(self.count)):
            if key not in self.records and not self._begin(key):
                return None
            record = self.records[key]
            if record.state is TrialState.RUNNING and key not in self._proposed:
                self._proposed.add(key)
                return self._proposal(key, self._proposer.restore(record.config))
        return None

    def _begin(self, key: TrainingId) -> bool:
        """Records the training `key`, and returns whether there is a configuration for it."""
        drawn = self._draw(key.number)
        if drawn is None:
            self._exhausted = True
            return False
        params, config = drawn
        self.epochs[key] = []
        self._put(
            ScreeningRecord(
                number=key.number,
                params=params,
                images=self.images,
                state=TrialState.RUNNING,
                config=self._shorten(config).to_dict(),
            )
        )
        return True

    def _draw(self, number: int) -> tuple[dict[str, Any], C] | None:
        """Returns a configuration that hasn't been screened, the baseline for 0, or `None` where
        none is found.
        """
        known = {params_key(record.params) for record in self.records.values()}
        for attempt in range(ATTEMPTS):
            with suppress(ConfigError, SpaceError):  # the study names such a fault of the space
                drawn = self._proposer.draw(number, attempt)
                if params_key(drawn[0]) not in known:
                    return drawn
        return None

    # --- what follows ----------------------------------------------------------------------

    def waiting(self) -> bool:
        """Returns whether trials have to wait for the screening's end."""
        return not self.finished()

    def finished(self) -> bool:
        """Returns whether nothing is left to train: all trainings have ended, they tell too little,
        too many have failed, or the time is up.
        """
        if self.worth() is not None or self._time_left() <= 0:
            return True
        records = list(self.records.values())
        failed = [record for record in records if record.state is TrialState.FAILED]
        if len(failed) >= GIVE_UP and not any(record.epochs for record in records):
            return True
        ended = all(record.state is not TrialState.RUNNING for record in records)
        return ended and (self._exhausted or len(records) >= self.count)

    def shown(self) -> int:
        """Returns how many configurations the sampler has learnt from before the trials."""
        return len(self._useful())

    def worth(self) -> ScreeningWorth | None:
        """Returns what the screening is worth, or `None` as long as that isn't known."""
        if self._worth is None:  # once known it stays, for later trainings don't count
            planned = len(self.records) if self._exhausted else self.count
            self._worth = judge_records(self.records.values(), planned, self._val_images)
        return self._worth

    def queued(self, place: int) -> QueuedConfiguration | None:
        """Returns the configuration to try at this place, from 0, or `None` if there is none."""
        best = self._best()
        return best[place] if place < len(best) else None

    def _best(self) -> list[QueuedConfiguration]:
        """Returns the best configurations besides the baseline, best first."""
        complete = [each for each in self._useful() if each.number and each.val_top1 is not None]
        complete.sort(key=lambda each: (-(each.val_top1 or 0.0), each.number))
        return [
            QueuedConfiguration(origin=f"screening {each.number}", params=each.params)
            for each in complete[:KEPT]
        ]

    def extend(
        self, evidence: Sequence[ObservedTrial], marks: Sequence[int]
    ) -> tuple[Sequence[ObservedTrial], Sequence[int]]:
        """Returns what the sampler learns from, and its marks: (evidence, marks), with what the
        screening has shown of each configuration. Configurations that no trial has come first.
        """
        if not (records := self._useful()):
            return evidence, marks
        short = {params_key(each.params): each for each in records}
        keys = [params_key(each.params) for each in evidence]
        tried = set(keys)
        screened = [
            ObservedTrial(
                params=each.params,
                values={} if each.val_top1 is None else {SCREENED: each.val_top1},
                unfit=each.reason in (StopReason.DIVERGED, StopReason.MEMORY),
                tried=False,
            )
            for key, each in short.items()
            if key not in tried
        ]
        own = [
            replace(each, values={SCREENED: value, **each.values})
            if key in short and (value := short[key].val_top1) is not None
            else each
            for key, each in zip(keys, evidence, strict=True)
        ]
        return [*screened, *own], (SCREENED, *marks)

    def _useful(self) -> list[ScreeningRecord]:
        """Returns the trainings that have ended, and none where they tell too little."""
        worth = self.worth()
        if worth is None or not worth.useful:
            return []
        records = (each for each in self.records.values() if each.state is not TrialState.RUNNING)
        return sorted(records, key=lambda each: each.number)
