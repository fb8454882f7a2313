"""How long the trainings of a run are, from which trial on, and what each length begins with.

A run begins with one horizon. Given more epochs it gets another: the trials before it stay what
they are, complete under their own learning-rate schedule, and those after it are trained, compared
at rungs and completed by the new one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from search.early_stopping.asha import Costs, make_rungs, rung_epochs

BASELINE_ORIGIN = "baseline"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedConfiguration:
    """A configuration to try before the sampler is asked; `origin` says whence, for people."""

    origin: str
    params: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """The trials from number `first` on train for `epochs`, with their first rung at `grace`.

    They begin with those of `queue`, in its order, the baseline first where there is one. The
    first `proven` of them pass every rung: the baseline, and what has shown in shorter trainings
    of the same run what it is worth.
    """

    first: int
    epochs: int
    grace: int
    queue: tuple[QueuedConfiguration, ...] = ()
    proven: int = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `dataclasses.asdict` gave, read back from a manifest."""
        queue = tuple(QueuedConfiguration(**each) for each in value["queue"])
        return cls(**{**value, "queue": queue})

    def queued(self, number: int) -> QueuedConfiguration | None:
        """What trial `number` is to try; `None` where the sampler is asked."""
        place = number - self.first
        return self.queue[place] if 0 <= place < len(self.queue) else None

    def is_baseline(self, number: int) -> bool:
        """Whether the trial is the baseline, trained to this length."""
        queued = self.queued(number)
        return queued is not None and queued.origin == BASELINE_ORIGIN

    def is_proven(self, number: int) -> bool:
        """Whether no rung stops the trial."""
        return self.first <= number < self.first + self.proven


def first_horizon(
    epochs: int,
    grace: int,
    baseline: Mapping[str, Any] | None,
    more: Sequence[QueuedConfiguration] = (),
) -> Horizon:
    """What a run begins with: its baseline, where it has one, then `more`."""
    own = (
        () if baseline is None else (QueuedConfiguration(origin=BASELINE_ORIGIN, params=baseline),)
    )
    return Horizon(first=0, epochs=epochs, grace=grace, queue=(*own, *more), proven=len(own))


def horizon_of(horizons: Sequence[Horizon], number: int) -> Horizon:
    """The horizon that trial `number` belongs to."""
    return [each for each in horizons if each.first <= number][-1]


class HorizonRungs:
    """The rungs of each horizon: trials of different lengths are never compared at one.

    `rung_epochs` are the epochs of the last one's. Where trials have `costs`, they are compared by
    non-dominated rank instead of by value.
    """

    def __init__(
        self, horizons: Sequence[Horizon], factor: int, costs: Costs | None = None
    ) -> None:
        self._horizons = horizons
        self.levels = rung_epochs(
            grace=horizons[-1].grace, factor=factor, epochs=horizons[-1].epochs
        )
        self._rungs = {
            each.first: make_rungs(each.grace, factor, each.epochs, costs) for each in horizons
        }

    def record(self, trial: int, epoch: int, value: float) -> bool:
        """`Rungs.record` among the trials of the same length; proven ones always go on."""
        horizon = horizon_of(self._horizons, trial)
        goes_on = self._rungs[horizon.first].record(trial, epoch, value)
        return goes_on or horizon.is_proven(trial)

    def recorded(self) -> dict[int, int]:
        """`Rungs.recorded` of the latest horizon."""
        return self._rungs[self._horizons[-1].first].recorded()
