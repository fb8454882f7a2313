"""Decides by ASHA's rule which trials continue, in plain Python (Li et al. 2020, arXiv:1810.05934,
stopping variant).
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence

from results.analysis.pareto import Point, crowding, fronts

LEAST_GRACE = 3
"""The first comparison takes place after at least this many epochs, because earlier ones stop
strongly regularised trials.
"""

REFERENCE = 8
"""A first rung also compares trials with the random ones alone, once this many have reached it:
about when the sampler's first own proposals do.
"""


class Rungs:
    """Compares trials at `grace · factor^k` epochs, and lets the top `1 / factor` continue at each
    of these rungs.

    A sampler that learns proposes more and more trials that start quickly. They raise the first
    rung until trials no longer pass that start slowly and end best. Therefore a trial also passes
    the first rung if it is among the top `1 / factor` of the random trials and itself. `is_random`
    returns whether a trial's configuration was drawn at random, by the trial's number.

    The state consists of the recorded values in their order. Replaying the same records gives the
    same decisions, which restores the rungs of a killed search.
    """

    def __init__(
        self,
        *,
        grace: int,
        factor: int,
        epochs: int,
        is_random: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self.factor = factor
        self.levels = rung_epochs(grace=grace, factor=factor, epochs=epochs)
        self._values: dict[int, list[float]] = {level: [] for level in self.levels}
        self._is_random, self._random_values = is_random, list[float]()
        self._seen: set[tuple[int, int]] = set()

    def record(self, trial: int, epoch: int, value: float) -> bool:
        """Records a trial's value (higher is better) after an epoch, and returns whether the trial
        continues.

        A trial always continues between rungs. At a rung, it continues when fewer than `1 / factor`
        of the trials recorded there so far are better; at the first one, also when fewer than `1 /
        factor` of the random trials there are, itself included. The same (trial, epoch) counts only
        once.
        """
        if epoch not in self._values:
            return True
        values, first = self._values[epoch], epoch == self.levels[0]
        random = first and self._is_random(trial)
        if (trial, epoch) not in self._seen:
            self._seen.add((trial, epoch))
            insort(values, value)
            if random:
                insort(self._random_values, value)
        if self._better(values, value) * self.factor < len(values):
            return True
        if not first or len(self._random_values) < REFERENCE:
            return False
        better = self._better(self._random_values, value)
        return better * self.factor < len(self._random_values) + (not random)

    @staticmethod
    def _better(values: Sequence[float], value: float) -> int:
        """Returns how many of the rising `values` are higher."""
        return len(values) - bisect_right(values, value)

    def recorded(self) -> dict[int, int]:
        """Returns the number of trials recorded at each rung, by epoch."""
        return {level: len(values) for level, values in self._values.items()}


def rung_epochs(*, grace: int, factor: int, epochs: int) -> tuple[int, ...]:
    """Returns the epochs of the rungs, which are `grace · factor^k` below the last epoch."""
    found, level = [], grace
    while level < epochs:
        found.append(level)
        level *= factor
    return tuple(found)


def default_grace(epochs: int) -> int:
    """Returns the default epoch of the first rung: a twentieth of a training's epochs, and at least
    `LEAST_GRACE`.
    """
    return max(LEAST_GRACE, round(epochs / 20))


Costs = Callable[[int], Point]
"""A function of this type returns the objectives of a trial besides its value, by the trial's
number. They are to be minimised, known from the first epoch on, and constant.
"""


class ParetoRungs:
    """Compares trials by several objectives at `grace · factor^k` epochs, and lets the top `1 /
    factor` continue at each of these rungs.

    The order is that of NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017): by non-dominated rank,
    and within a front by descending crowding distance. Therefore the ends of a front go before
    trials that lie close together between them, whereas breaking ties by value would give up the
    front's cheap end. Schmucker et al. 2021 (arXiv:2106.12639) compare such orders for ASHA.

    The state consists of the recorded points in their order, as in `Rungs`; without costs the
    decisions are those of `Rungs` too.
    """

    def __init__(self, *, grace: int, factor: int, epochs: int, costs: Costs) -> None:
        self.factor, self._costs = factor, costs
        self.levels = rung_epochs(grace=grace, factor=factor, epochs=epochs)
        self._points: dict[int, dict[int, Point]] = {level: {} for level in self.levels}

    def record(self, trial: int, epoch: int, value: float) -> bool:
        """Records a trial's value (higher is better) after an epoch, and returns whether the trial
        continues.

        A trial always continues between rungs. At a rung, it continues when fewer than `1 / factor`
        of the trials recorded there so far come before it in the order. The same (trial, epoch)
        counts only once.
        """
        if epoch not in self._points:
            return True
        points = self._points[epoch]
        point = points.setdefault(trial, (-value, *self._costs(trial)))
        return _count_ahead(point, list(points.values())) * self.factor < len(points)

    def recorded(self) -> dict[int, int]:
        """Returns the number of trials recorded at each rung, by epoch."""
        return {level: len(points) for level, points in self._points.items()}


def make_rungs(
    grace: int,
    factor: int,
    epochs: int,
    costs: Costs | None,
    is_random: Callable[[int], bool] = lambda _: False,
) -> Rungs | ParetoRungs:
    """Returns rungs that compare trials by value, or by non-dominated rank where trials have
    `costs`.
    """
    if costs is None:
        return Rungs(grace=grace, factor=factor, epochs=epochs, is_random=is_random)
    return ParetoRungs(grace=grace, factor=factor, epochs=epochs, costs=costs)


def _count_ahead(point: Point, points: list[Point]) -> int:
    """Returns how many of `points` come before `point` in the order of `ParetoRungs`. Raises
    `ValueError` where `point` isn't one of them.
    """
    ahead: set[Point] = set()
    for front in fronts(points):
        if point in front:
            distances = crowding(front)
            ahead |= {each for each in front if distances[each] > distances[point]}
            return sum(each in ahead for each in points)
        ahead |= set(front)
    raise ValueError(f"{point} must be among the points.")
