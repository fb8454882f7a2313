"""Goes through the configurations of a space one by one, so that no branch is missed."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.study.searched_ranges import Probe

COUNTED = 10_000
"""Configurations are counted up to this number."""


class Walk(Probe):
    """Takes the numbered value of each parameter in turn, and the first one where no number is
    left. `widths` has how many values each parameter has; a continuous one has its lowest alone.
    """

    def __init__(self, taken: Sequence[int]) -> None:
        super().__init__(0)
        self._taken, self.widths = taken, list[int]()
        self._recorded: dict[str, Any] = {}

    def answer(self, name: str, distribution: BaseDistribution) -> Any:
        """Returns the value, and the same one when asked for `name` again."""
        if name not in self._recorded:
            at = len(self.widths)
            self.widths.append(_width(distribution))
            taken = self._taken[at] if at < len(self._taken) else 0
            self._recorded[name] = _value(distribution, taken)
        return super().answer(name, distribution)


def walk_configurations(examine: Callable[[Walk], object]) -> int | None:
    """Calls `examine` with each configuration, of which it asks the space for the parameters, and
    returns how many there are, where each continuous parameter counts as one value. Returns `None`
    as soon as there must be more than `COUNTED`; then those that have been examined differ from the
    first one in few parameters.
    """
    ahead, count = deque([tuple[int, ...]()]), 0
    while ahead:
        taken = ahead.popleft()
        walk = Walk(taken)
        examine(walk)
        count += 1
        for at in range(len(taken), len(walk.widths)):
            if count + len(ahead) + walk.widths[at] - 1 > COUNTED:
                return None
            begin = (*taken, *[0] * (at - len(taken)))
            ahead.extend((*begin, other) for other in range(1, walk.widths[at]))
    return count


def is_continuous(distribution: BaseDistribution) -> bool:
    """Returns whether a parameter has infinitely many values."""
    return (
        isinstance(distribution, FloatDistribution)
        and distribution.step is None
        and not distribution.single()
    )


def _width(distribution: BaseDistribution) -> int:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step + 1
    if isinstance(distribution, FloatDistribution) and distribution.step:
        return round((distribution.high - distribution.low) / distribution.step) + 1
    return 1


def _value(distribution: Any, number: int) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[number]
    return distribution.low + (distribution.step or 0) * number
