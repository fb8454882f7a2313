"""Hands a search's metrics to Ray, which offers them to Prometheus at each node."""

import time
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.util.metrics import Gauge

from search.monitoring.progress import Progress
from search.monitoring.prometheus import LABELS, METRICS, readings

EVERY_S = 5.0
"""Ray passes values on every 10 s, and forgets those that weren't told again since (2.60.0)."""


class Exporter(Callback):
    """Tells the values of now, every few seconds."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._next = progress, 0.0
        common = dict(zip(LABELS, (progress.limits.title, progress.limits.space), strict=True))
        self._gauges = {
            name: Gauge(name, metric.text, (*LABELS, *metric.labels)).set_default_tags(common)
            for name, metric in METRICS.items()
        }

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Several times a second."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_S
            self.tell()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """The last values."""
        self.tell()

    def tell(self) -> None:
        """All values of now."""
        for each in readings(self._progress):
            labels = dict(zip(METRICS[each.name].labels, each.labels, strict=True))
            self._gauges[each.name].set(each.value, tags=labels)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles a tuner to restore it, which is not how a run goes on."""
        return {}
