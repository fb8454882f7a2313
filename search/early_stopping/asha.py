"""ASHA's decision, in plain Python (Li et al. 2020, arXiv:1810.05934, stopping variant)."""

from bisect import bisect_right, insort

LEAST_GRACE = 3
"""Epochs before the first comparison: earlier ones kill what is strongly regularised."""


class Rungs:
    """Compares trials at `grace · factor^k` epochs; goes on with the top `1 / factor` of each.

    The state is what was recorded, in its order: replaying the same records gives the same
    decisions, which is how a killed search gets its rungs back.
    """

    def __init__(self, *, grace: int, factor: int, epochs: int) -> None:
        self.factor = factor
        self.levels = levels(grace=grace, factor=factor, epochs=epochs)
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


def levels(*, grace: int, factor: int, epochs: int) -> tuple[int, ...]:
    """The rungs' epochs: `grace · factor^k`, below the last epoch."""
    found, level = [], grace
    while level < epochs:
        found.append(level)
        level *= factor
    return tuple(found)


def default_grace(epochs: int) -> int:
    """The first rung where none is asked for: a twentieth of a training, `LEAST_GRACE` at least."""
    return max(LEAST_GRACE, round(epochs / 20))
