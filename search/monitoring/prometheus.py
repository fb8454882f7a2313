"""Defines the metrics of a running search for Prometheus: their names, labels and values. This
module doesn't use Ray.

Ray prefixes the names with `ray_`. Names of fractions end with `_ratio`, as Prometheus recommends.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from results.records import StopReason, TrialState
from search.monitoring.progress import Progress
from search.study.observer import Observer

LABELS = ("search", "space")
"""Every metric has these labels: the run's name, and its space."""

_FAILURES = (StopReason.MEMORY, StopReason.STALLED)
ENDINGS: tuple[tuple[TrialState, StopReason | None], ...] = (
    (TrialState.COMPLETE, None),
    *((TrialState.STOPPED, reason) for reason in StopReason if reason not in _FAILURES),
    (TrialState.FAILED, None),
    *((TrialState.FAILED, reason) for reason in _FAILURES),
)
"""These are all ways in which a trial can end. Those that no trial has had are exported as 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """Describes one gauge: its help text, and its labels besides `LABELS`."""

    text: str
    labels: tuple[str, ...] = ()


METRICS = {
    "search_best_val_top1_ratio": Metric(text="The best trial's val_top1 after its latest epoch."),
    "search_trials": Metric(
        text="Trials by state: running, complete, stopped or failed, and why.",
        labels=("state", "reason"),
    ),
    "search_trials_planned": Metric(text="Configurations to be tried altogether."),
    "search_trainings_running": Metric(text="All trainings under way now, short ones too."),
    "search_epochs_trained": Metric(text="Epochs of trials and finalists, with earlier sessions."),
    "search_epochs_per_second": Metric(text="At the rate of the last epochs."),
    "search_images_per_second": Metric(text="Trained images, at the rate of the last epochs."),
    "search_gap_mean_ratio": Metric(text="Mean train-validation gap of what runs."),
    "search_gap_max_ratio": Metric(text="Largest train-validation gap of what runs."),
    "search_gpu_hours": Metric(text="Hours for which GPUs were held, earlier sessions included."),
    "search_gpu_busy_ratio": Metric(text="Part of these hours in which trainings computed."),
}
"""A running search exports these gauges, by name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Holds the value of a metric; `labels` are the values of its labels besides `LABELS`."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


def readings(progress: Progress) -> Iterator[Reading]:
    """Yields the present values of all metrics. A value that doesn't exist yet, such as the best
    val_top1, is left out.
    """
    leader, gaps = progress.leader(), progress.gaps()
    running = progress.under_way()
    if leader and leader.last_val_top1 is not None:
        yield Reading("search_best_val_top1_ratio", leader.last_val_top1)
    if gaps:
        yield Reading("search_gap_mean_ratio", fmean(gaps))
        yield Reading("search_gap_max_ratio", max(gaps))
    trials = sum(each.under_way for each in progress.trials)
    yield Reading("search_trials", trials, (str(TrialState.RUNNING), ""))
    endings = progress.endings()
    for state, reason in ENDINGS:
        yield Reading("search_trials", endings[state, reason], (str(state), str(reason or "")))
    yield Reading("search_trials_planned", progress.limits.trials)
    yield Reading("search_trainings_running", len(running))
    yield Reading("search_epochs_trained", progress.epochs_done())
    yield Reading("search_epochs_per_second", progress.epochs_per_s())
    yield Reading("search_images_per_second", progress.images_per_s())
    gpu_time = progress.gpu_time()
    yield Reading("search_gpu_hours", gpu_time.held_s / 3600)
    if gpu_time.busy is not None:
        yield Reading("search_gpu_busy_ratio", gpu_time.busy)


EXPORT_EVERY_S = 5.0
"""The gauges are set this often, in seconds. Ray passes values on every 10 s, and forgets those
that weren't set again in the meantime (2.60.0).
"""


class Gauge(Protocol):
    """Passes one value on to Prometheus; Ray's gauges implement this."""

    def set(self, value: float, tags: dict[str, str]) -> object:
        """Sets the present value. `tags` are the values of the gauge's labels, by name."""


MakeGauge = Callable[[str, str, tuple[str, ...], dict[str, str]], Gauge]
"""A function of this type makes a gauge from its name, its help text, the names of its labels, and
the values of the labels that never change.
"""


class PrometheusExporter(Observer):
    """Exports the present values of all metrics, every few seconds and at the end of a search."""

    def __init__(self, progress: Progress, make_gauge: MakeGauge) -> None:
        self._progress, self._next = progress, 0.0
        fixed = dict(zip(LABELS, (progress.limits.title, progress.limits.space), strict=True))
        self._gauges = {
            name: make_gauge(name, metric.text, (*LABELS, *metric.labels), fixed)
            for name, metric in METRICS.items()
        }

    def __str__(self) -> str:
        return "Prometheus"

    def tick(self) -> None:
        """Exports the values if the last export was at least `EXPORT_EVERY_S` ago."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EXPORT_EVERY_S
            self._export()

    def closed(self) -> None:
        """Exports the last values of the search."""
        self._export()

    def _export(self) -> None:
        for each in readings(self._progress):
            labels = dict(zip(METRICS[each.name].labels, each.labels, strict=True))
            self._gauges[each.name].set(each.value, tags=labels)
