"""Keeps track of a running search: the monitor reports events here, and all displays read from
here.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from results.analysis.finalist_comparison import BASELINE
from results.analysis.ranking import rank_key, rank_trials
from results.records import EpochMetrics, StopReason, TrainingId, TrainingRecord, TrialState
from search.monitoring.training_progress import TrainingProgress
from search.study.proposal import Proposal
from trainables.config import TrialConfig

RECENT = 16
"""Present rates are means over this many of the last epochs."""

PRIOR_TRIALS = 3
"""The plan's expectation of a trial's epochs counts as much as this many ended trials."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Holds a search's name, its limits, and what its plan expects.

    `trial_epochs` is the expected number of epochs of a trial, on average, and `full_epochs` that
    of a whole training. `finalists` is the number of the finalists' trainings. `used_s` is what
    earlier sessions have used of `time_s`, in seconds. `gpus` is a training's share of a GPU where
    its start doesn't report another. `None` stands for no limit.
    """

    trials: int
    title: str = ""
    space: str = ""
    trial_epochs: float = 0.0
    full_epochs: int = 0
    finalists: int = 0
    at_once: int = 1
    time_s: float | None = None
    used_s: float = 0.0
    gpu_hours: float | None = None
    gpus: float = 0.0


class Progress:
    """Holds all trainings of a search, as events report them, and computes figures from them. Only
    one thread may call it.

    Each training is one of the `trials` or one of the finalists' `repeats`. `notice` is a sentence
    for the user that stays in view.

    clock: returns seconds since any fixed moment.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.trainings = limits, dict[TrainingId, TrainingProgress]()
        self.trials: list[TrainingProgress] = []
        self.repeats: list[TrainingProgress] = []
        self.notice = ""
        self._recent: deque[EpochMetrics] = deque(maxlen=RECENT)
        self._clock = clock
        self._began = clock()

    # --- events ----------------------------------------------------------------------------

    def recall(
        self,
        history: Iterable[tuple[TrainingRecord, Sequence[EpochMetrics]]],
        baselines: Collection[int] = (),
    ) -> None:
        """Adds the trainings of earlier sessions: (record, epochs) of each. Besides trial 0, the
        trials with the numbers in `baselines` are marked as baselines.
        """
        for record, epochs in history:
            key = record.training
            progress = self._add(key, record.config, baseline=key.number in baselines)
            for metrics in epochs:
                self.epoch(key, metrics)
            progress.close(record)

    def started(
        self, proposal: Proposal[TrialConfig], gpus: float | None = None
    ) -> TrainingProgress:
        """Records that a training begins, or is resumed, and returns its progress. Without `gpus`
        its share of a GPU is that of the limits.
        """
        key = proposal.training
        config = proposal.config.to_dict()
        training = self.trainings.get(key) or self._add(key, config, baseline=proposal.baseline)
        training.length, training.config = proposal.config.epochs, config
        training.gpus = self.limits.gpus if gpus is None else gpus
        training.under_way = True
        training.state, training.reason = TrialState.RUNNING, None
        return training

    def epoch(self, key: TrainingId, metrics: EpochMetrics) -> bool:
        """Records an epoch and returns whether it is new: an epoch that is recorded already may be
        reported again.
        """
        training = self.trainings[key]
        if metrics.epoch <= len(training.metrics):
            return False
        training.take(metrics)
        self._recent.append(metrics)
        return True

    def ended(self, record: TrainingRecord) -> None:
        """Records that a training has ended. The training may never have started, if its
        configuration can't be trained.
        """
        key = record.training
        training = self.trainings.get(key) or self._add(key, record.config)
        training.under_way = False
        training.close(record)

    def _add(
        self, key: TrainingId, config: dict[str, Any], *, baseline: bool = False
    ) -> TrainingProgress:
        self.trainings[key] = training = TrainingProgress(
            training=key,
            length=int(config.get("epochs", self.limits.full_epochs)),
            baseline=baseline or key.number == BASELINE,
            config=config,
            gpus=self.limits.gpus,
        )
        (self.repeats if key.is_finalist else self.trials).append(training)
        return training

    # --- figures ---------------------------------------------------------------------------

    def under_way(self) -> list[TrainingProgress]:
        """Returns the trainings that are running now, including the finalists' repeats."""
        return [each for each in self.trainings.values() if each.under_way]

    def endings(self) -> Counter[tuple[TrialState, StopReason | None]]:
        """Returns how many trials have ended, by state and reason."""
        return Counter((each.state, each.reason) for each in self.trials if each.ended)

    def leaders(self) -> list[TrainingProgress]:
        """Returns the trials with a result, best first, as the leaderboard shows them. Failed and
        diverged trials are left out.
        """
        return [each for each in rank_trials(self.trials) if each.trusted]

    def leader(self) -> TrainingProgress | None:
        """Returns the first of the leaders, or `None` before the first epoch."""
        found = (t for t in self.trials if t.trusted and t.last_val_top1 is not None)
        return min(found, key=rank_key, default=None)

    def gaps(self) -> list[float]:
        """Returns the gap after the last epoch of each running training."""
        last = [each.metrics[-1].gap for each in self.under_way() if each.metrics]
        return [gap for gap in last if gap is not None]

    def images_per_s(self) -> float:
        """Returns the training images per second of all running trainings together, at the rate of
        the last epochs.
        """
        return len(self.under_way()) * self._mean(lambda metrics: metrics.images_per_s)

    def epochs_per_s(self) -> float:
        """Returns the epochs per second of all running trainings together, evaluation included, at
        the rate of the last epochs.
        """
        wall_s = self._mean(lambda metrics: metrics.wall_s)
        return len(self.under_way()) / wall_s if wall_s else 0.0

    def _mean(self, value: Callable[[EpochMetrics], float]) -> float:
        return fmean(map(value, self._recent)) if self._recent else 0.0

    def gpu_hours(self) -> float:
        """Returns the GPU-hours used so far: each training's share of a GPU times the time of its
        epochs.
        """
        return sum(each.gpus * each.seconds for each in self.trainings.values()) / 3600

    def epochs_done(self) -> int:
        """Returns the number of epochs of all trainings, including those of earlier sessions."""
        return sum(len(each.metrics) for each in self.trainings.values())

    def elapsed_s(self) -> float:
        """Returns the seconds since this session's trials could begin."""
        return self._clock() - self._began

    def used_s(self) -> float:
        """Returns the seconds used of the time budget, including those of earlier sessions."""
        return self.limits.used_s + self.elapsed_s()

    # --- estimates of the rest -------------------------------------------------------------

    def epochs_left(self) -> float:
        """Returns the expected number of epochs until the search ends. Each further trial counts
        with the mean of the ended ones, which at the beginning is the plan's expectation.
        """
        limits, mean = self.limits, self._trial_epochs()
        left = max(limits.trials - len(self.trials), 0) * mean
        left += max(limits.finalists - len(self.repeats), 0) * limits.full_epochs
        left += sum(_expected_left(each, mean) for each in self.trials if not each.ended)
        return left + sum(each.epochs_left for each in self.repeats if not each.ended)

    def time_left_s(self) -> float | None:
        """Returns an estimate of the seconds until the search ends, or `None` before the first
        epoch.

        This is the time left in the budget, or the remaining epochs at the mean time of all epochs
        so far, whichever is less.
        """
        done = self.epochs_done()
        if not done:
            return None
        spent = sum(each.seconds for each in self.trainings.values())
        bounds = [self.epochs_left() * spent / done / self.limits.at_once]
        if self.limits.time_s is not None:
            bounds.append(self.limits.time_s - self.used_s())
        if self.limits.gpu_hours is not None and self.limits.gpus:
            hours = self.limits.gpu_hours - self.gpu_hours()
            bounds.append(hours * 3600 / self.limits.gpus / self.limits.at_once)
        return max(min(bounds), 0.0)

    def _trial_epochs(self) -> float:
        """Returns the expected number of epochs of a trial."""
        ended = [len(each.metrics) for each in self.trials if each.ended]
        return (PRIOR_TRIALS * self.limits.trial_epochs + sum(ended)) / (PRIOR_TRIALS + len(ended))


def _expected_left(trial: TrainingProgress, mean: float) -> float:
    """Returns the expected number of further epochs of a trial, where a trial has `mean` epochs on
    average. A trial beyond the mean counts with one more epoch, and a baseline with all of its
    epochs, because nothing but divergence ends it early.
    """
    if trial.baseline:
        return trial.epochs_left
    return min(trial.epochs_left, max(mean - len(trial.metrics), 1))
