"""Defines the horizons of a run: the length of its trainings, and what each length begins with.

A run begins with one horizon. An extension to more epochs adds another: the trials before it stay
as they are, complete under their own learning-rate schedule, and later ones are trained, compared
at rungs and completed by the new horizon.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from results.side_store import SteeringRecord, tried_by_hand
from search.early_stopping.asha import Costs, make_rungs, rung_epochs

BASELINE_ORIGIN = "baseline"
BELIEVED_ORIGIN = "the space's prior"
BY_HAND_ORIGIN = "by hand"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedConfiguration:
    """Holds a configuration to try before the sampler is used; `origin` names its source."""

    origin: str
    params: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """Trains the trials from number `first` on for `epochs` epochs, with the first rung at `grace`.

    They begin with the configurations of `queue`, in their order, the baseline first where there is
    one. The first `proven` of them pass every rung: the baseline, what the space's author believes,
    and the best configurations of shorter trainings in the same run.
    """

    first: int
    epochs: int
    grace: int
    queue: tuple[QueuedConfiguration, ...] = ()
    proven: int = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Builds a horizon from what `dataclasses.asdict` wrote to a manifest."""
        queue = tuple(QueuedConfiguration(**each) for each in value["queue"])
        return cls(**{**value, "queue": queue})

    def queued(self, number: int) -> QueuedConfiguration | None:
        """Returns the configuration for trial `number`, or `None` where the sampler is used."""
        place = number - self.first
        return self.queue[place] if 0 <= place < len(self.queue) else None

    def is_baseline(self, number: int) -> bool:
        """Returns whether the trial is the baseline, trained to this length."""
        queued = self.queued(number)
        return queued is not None and queued.origin == BASELINE_ORIGIN

    def is_proven(self, number: int) -> bool:
        """Returns whether no rung may stop the trial."""
        return self.first <= number < self.first + self.proven


def first_horizon(
    epochs: int,
    grace: int,
    baseline: Mapping[str, Any] | None,
    believed: Mapping[str, Any] | None = None,
    more: Sequence[QueuedConfiguration] = (),
) -> Horizon:
    """Returns the horizon that a run begins with: the parameters of its baseline and those that
    its space's author believes in, where there are such, and then `more`.
    """
    first = ((BASELINE_ORIGIN, baseline), (BELIEVED_ORIGIN, believed))
    own = [QueuedConfiguration(origin=a, params=b) for a, b in first if b is not None]
    return Horizon(first=0, epochs=epochs, grace=grace, queue=(*own, *more), proven=len(own))


def horizon_of(horizons: Sequence[Horizon], number: int) -> Horizon:
    """Returns the horizon that trial `number` belongs to."""
    return [each for each in horizons if each.first <= number][-1]


class TrialQueue:
    """Holds what is tried before the sampler is asked: the queue of each horizon, and behind that
    of the first one what `more` returns for each place, from 0, until it returns `None`. Between
    the two comes what a user has asked for, which has its number already: `by_hand` has the
    parameters by this number, those in the records `steered` included. `drawn` returns whether the
    sampler draws a trial at random, by the trial's number.
    """

    def __init__(
        self,
        horizons: Sequence[Horizon],
        more: Callable[[int], QueuedConfiguration | None],
        drawn: Callable[[int], bool],
        steered: Sequence[SteeringRecord] = (),
    ) -> None:
        self._horizons, self._more, self._drawn = horizons, more, drawn
        self.by_hand: dict[int, Mapping[str, Any]] = tried_by_hand(steered)

    def find(self, number: int) -> QueuedConfiguration | None:
        """Returns the configuration for trial `number`, or `None` where the sampler is used."""
        if (params := self.by_hand.get(number)) is not None:
            return QueuedConfiguration(origin=BY_HAND_ORIGIN, params=params)
        horizon, first = horizon_of(self._horizons, number), self._horizons[0]
        place = number - len(first.queue) - sum(each < number for each in self.by_hand)
        return self._more(place) if horizon is first and place >= 0 else horizon.queued(number)

    def end(self) -> int:
        """Returns the first number behind the queue of the last horizon."""
        return self._horizons[-1].first + len(self._horizons[-1].queue)

    def asked_from(self, number: int) -> list[int]:
        """Returns the numbers, from `number` on, of the trials that a user has asked for."""
        return sorted(each for each in self.by_hand if each >= number)

    def is_random(self, number: int) -> bool:
        """Returns whether trial `number` is drawn at random rather than queued or chosen."""
        return self.find(number) is None and self._drawn(number)


class HorizonRungs:
    """Holds the rungs of each horizon, so that trials of different lengths are never compared.

    `levels` are the epochs of the last horizon's rungs. With `costs`, trials are compared by
    non-dominated rank instead of by value. `is_random` returns whether a trial's configuration is
    drawn at random, by the trial's number.
    """

    def __init__(
        self,
        horizons: Sequence[Horizon],
        factor: int,
        costs: Costs | None = None,
        is_random: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._horizons = horizons
        self.levels = rung_epochs(
            grace=horizons[-1].grace, factor=factor, epochs=horizons[-1].epochs
        )
        self._rungs = {
            each.first: make_rungs(each.grace, factor, each.epochs, costs, is_random)
            for each in horizons
        }

    def record(self, trial: int, epoch: int, value: float) -> bool:
        """Records a value among trials of the same length, as `Rungs.record` does, and returns
        whether the trial continues, which proven ones always do.
        """
        horizon = horizon_of(self._horizons, trial)
        goes_on = self._rungs[horizon.first].record(trial, epoch, value)
        return goes_on or horizon.is_proven(trial)

    def recorded(self) -> dict[int, int]:
        """Returns the number of trials recorded at each rung of the latest horizon, by epoch."""
        return self._rungs[self._horizons[-1].first].recorded()
