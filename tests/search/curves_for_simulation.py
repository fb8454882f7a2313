"""Hand-made curves for the simulated clock: no file, no surprises."""

from collections.abc import Sequence

import numpy as np
from optuna.distributions import FloatDistribution

from results.records import EpochMetrics, TrainingId
from search.early_stopping.decision import Rules
from search.samplers.encoding import Encoding
from search.simulation.points import Point
from search.simulation.recorded_curves import Curves
from search.study.proposer import Proposal


def made(val: Sequence[Sequence[float]], epoch_s: Sequence[float] | None = None) -> Curves:
    """One parameter `x`; row i of n is the configuration x = i / (n - 1)."""
    rows = len(val)
    return Curves(
        name="made",
        encoding=Encoding({"x": FloatDistribution(0.0, 1.0)}),
        points=np.linspace(0.0, 1.0, rows)[:, None],
        val=np.array(val, dtype=np.float64),
        epoch_s=np.array(epoch_s if epoch_s is not None else [1.0] * rows),
        num_classes=2,
    )


def rules(epochs: int, grace: int, factor: int = 3) -> Rules:
    return Rules(
        epochs=epochs, grace=grace, factor=factor, max_gap=0.2, gap_patience=3,
        plateau_patience=0, num_classes=2,
    )  # fmt: skip


class Listed:
    """A policy that trains the rows it is given, in order, and stops them at given epochs."""

    def __init__(self, curves: Curves, rows: Sequence[int], stop: dict[int, int] | None = None):
        self._points, self._rows, self._stop = curves.points, list(rows), stop or {}
        self.asked = 0

    def ask(self) -> Proposal[Point] | None:
        if self.asked == len(self._rows):
            return None
        number, self.asked = self.asked, self.asked + 1
        return Proposal(
            training=TrainingId(number),
            config=Point({"x": float(self._points[self._rows[number], 0])}),
        )

    def report(self, number: int, metrics: EpochMetrics) -> object:
        return True if metrics.epoch == self._stop.get(number) else None
