"""ASHA's decision, in plain Python (Li et al. 2020, arXiv:1810.05934, stopping variant)."""

from bisect import bisect_right, insort
from collections.abc import Callable

from results.analysis.pareto import Point, crowding, fronts

LEAST_GRACE = 3
"""Epochs before the first comparison: earlier ones kill what is strongly regularised."""


class Rungs:
    """Compares trials at `grace · factor^k` epochs; goes on with the top `1 / factor` of each.

    The state is what was recorded, in its order: replaying the same records gives the same
    decisions, which is how a killed search gets its rungs back.
    """

    def __init__(self, *, grace: int, factor: int, epochs: int) -> None:
        self.factor = factor
        self.levels = rung_epochs(grace=grace, factor=factor, epochs=epochs)
        self._values: dict[int, list[float]] = {level: [] for level in self.levels}
        self._seen: set[tuple[int, int]] = set()

    def record(self, trial: int, epoch: int, value: float) -> bool:
        """Notes a trial's value (higher is better) and says whether it goes on.

        True between rungs. At a rung: true when fewer than `1 / factor` of the trials recorded
        there so far are better. The same (trial, epoch) counts once.
        """
        if epoch not in self._values:
            return True
        values = self._values[epoch]
        if (trial, epoch) not in self._seen:
            self._seen.add((trial, epoch))
            insort(values, value)
        better = len(values) - bisect_right(values, value)
        return better * self.factor < len(values)

    def recorded(self) -> dict[int, int]:
        """How many trials were recorded at each rung."""
        return {level: len(values) for level, values in self._values.items()}


def rung_epochs(*, grace: int, factor: int, epochs: int) -> tuple[int, ...]:
    """The rungs' epochs: `grace · factor^k`, below the last epoch."""
    found, level = [], grace
    while level < epochs:
        found.append(level)
        level *= factor
    return tuple(found)


def default_grace(epochs: int) -> int:
    """The first rung where none is asked for: a twentieth of a training, `LEAST_GRACE` at least."""
    return max(LEAST_GRACE, round(epochs / 20))


Costs = Callable[[int], Point]
"""A trial's number -> its objectives beside the value, all to be minimised, known from its first
epoch on and the same ever after."""


class ParetoRungs:
    """Compares trials at `grace · factor^k` epochs; goes on with the top `1 / factor` of each.

    The order is that of NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017): by non-dominated
    rank, within a front by crowding distance, the wider first. So the ends of a front go on
    before what lies close together between them, where a tie-break by value would give up its
    cheap end. Schmucker et al. 2021 (arXiv:2106.12639) compare such orders for ASHA.

    The state is what was recorded, in its order, as in `search.early_stopping.asha.Rungs`; with no
    costs the decisions are those of `Rungs` too.
    """

    def __init__(self, *, grace: int, factor: int, epochs: int, costs: Costs) -> None:
        self.factor, self._costs = factor, costs
        self.levels = rung_epochs(grace=grace, factor=factor, epochs=epochs)
        self._points: dict[int, dict[int, Point]] = {level: {} for level in self.levels}

    def record(self, trial: int, epoch: int, value: float) -> bool:
        """Notes a trial's value (higher is better) and says whether it goes on.

        True between rungs. At a rung: true when fewer than `1 / factor` of the trials recorded
        there so far come before it in the order. The same (trial, epoch) counts once.
        """
        if epoch not in self._points:
            return True
        points = self._points[epoch]
        point = points.setdefault(trial, (-value, *self._costs(trial)))
        return _count_ahead(point, list(points.values())) * self.factor < len(points)

    def recorded(self) -> dict[int, int]:
        """How many trials were recorded at each rung."""
        return {level: len(points) for level, points in self._points.items()}


def make_rungs(grace: int, factor: int, epochs: int, costs: Costs | None) -> Rungs | ParetoRungs:
    """Rungs that compare by value; by non-dominated rank where trials have `costs`."""
    if costs is None:
        return Rungs(grace=grace, factor=factor, epochs=epochs)
    return ParetoRungs(grace=grace, factor=factor, epochs=epochs, costs=costs)


def _count_ahead(point: Point, points: list[Point]) -> int:
    """How many of `points` come before `point`, which is one of them."""
    ahead: set[Point] = set()
    for front in fronts(points):
        if point in front:
            distances = crowding(front)
            ahead |= {each for each in front if distances[each] > distances[point]}
            return sum(each in ahead for each in points)
        ahead |= set(front)
    raise ValueError(f"{point} must be among the points.")
