"""Keeps track of a running search: the monitor reports events here, and all displays read from
here.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from results.analysis.expected_gain import ExpectedGain, is_enough, last_made
from results.analysis.finalist_comparison import BASELINE
from results.analysis.ranking import rank_key, rank_trials
from results.analysis.rung_worth import RungWorth, rung_worths
from results.analysis.screening_worth import ScreeningWorth, judge_screening
from results.analysis.session_times import GpuTime
from results.records import EpochMetrics, StopReason, TrainingId, TrainingRecord, TrialState
from results.side_store import SteeringRecord
from search.hardware.training_speed import TrainingSpeed
from search.monitoring.limits import Limits
from search.monitoring.training_progress import TrainingProgress, expected_left
from search.study.budget import GpuMeter
from search.study.proposer import Proposal
from trainables.config import TrialConfig

RECENT = 16
"""Present rates are means over this many of the last epochs."""

PRIOR_TRIALS = 3
"""The plan's expectation of a trial's epochs counts as much as this many ended trials."""


class Progress:
    """Holds all trainings of a search, as events report them, and computes figures from them. Only
    one thread may call it.

    Each training is one of the `trials`, one of the finalists' `repeats` or one of the `screening`.
    `notice` is a sentence for the user that stays in view, and `rungs` is what the rungs have
    turned out to be worth.

    clock: returns seconds since any fixed moment.
    speed: estimates the epochs of a training that hasn't had one yet, by its size.
    meter: measures for how long GPUs are held; it gets the events before this progress.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        speed: TrainingSpeed | None = None,
        meter: GpuMeter | None = None,
    ) -> None:
        self.limits, self.trainings = limits, dict[TrainingId, TrainingProgress]()
        self._speed, self._configs = speed, dict[TrainingId, TrialConfig]()
        self.trials: list[TrainingProgress] = []
        self.repeats: list[TrainingProgress] = []
        self.screening: list[TrainingProgress] = []
        self.notice = ""
        self.rungs: list[RungWorth] = []
        self._recent: deque[EpochMetrics] = deque(maxlen=RECENT)
        self._clock, self._meter = clock, meter or GpuMeter()
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
        self._configs[key] = proposal.config
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
        rungs = self.limits.rungs
        if rungs and key.is_trial and len(training.metrics) > rungs[0]:
            length = self.limits.full_epochs
            alike = [each for each in self.trials if each.length == length]
            curves = [[metrics.val_top1 for metrics in each.metrics] for each in alike]
            self.rungs = rung_worths(curves, rungs, length)

    def steered(self, record: SteeringRecord) -> None:
        """Takes the limits that a user has changed, and keeps the change itself in view."""
        names = ("trials", "time_s", "gpu_hours", "at_once")
        changed = {name: getattr(record, name) for name in names}
        given = {name: value for name, value in changed.items() if value is not None}
        self.limits = replace(self.limits, **given)
        self.notice = f"By hand: {record.words}. {record.answer}"

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
        kind = self.repeats if key.is_finalist else self.trials
        (self.screening if key.screening else kind).append(training)
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

    def gain(self) -> ExpectedGain | None:
        """Returns the latest estimate of what going on would gain, or `None` before the first."""
        return last_made(t.gain for t in self.trials if t.gain and t.number >= self.limits.first)

    def screening_worth(self) -> ScreeningWorth | None:
        """Returns what the screening is worth, or `None` as long as that isn't known."""
        ended = {
            each.number: each.last_val_top1 if each.state is TrialState.COMPLETE else None
            for each in self.screening
            if each.ended
        }
        return judge_screening(ended, self.limits.screening, self.limits.val_images)

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

    def gpu_time(self) -> GpuTime:
        """Returns for how long GPUs were held so far, and busy, earlier sessions included."""
        return self._meter.total()

    def epochs_done(self) -> int:
        """Returns the number of epochs of all trials and finalists, including those of earlier
        sessions.
        """
        return sum(len(each.metrics) for each in (*self.trials, *self.repeats))

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
        return self._epochs_to_begin() + sum(left for _, left in self._epochs_begun())

    def time_left_s(self) -> float | None:
        """Returns an estimate of the seconds until the search ends, or `None` while nothing is
        known of an epoch's time.

        This is the time left in the budget, or the time of the remaining epochs, whichever is less.
        The epochs of a training that has begun count with the mean of its own ones, or else as its
        size lets expect; those of others with the mean of all epochs so far, or else as planned.
        """
        whole = (*self.trials, *self.repeats)
        spent, done = sum(each.seconds for each in whole), self.epochs_done()
        typical = spent / done if done else self.limits.epoch_s
        if typical is None:
            return None
        seconds = self._epochs_to_begin() * typical
        seconds += sum(left * self._epoch_s(each, typical) for each, left in self._epochs_begun())
        bounds = [seconds / self.limits.at_once]
        if self.limits.time_s is not None:
            bounds.append(self.limits.time_s - self.used_s())
        if self.limits.gpu_hours is not None:
            gpu_s = self.limits.gpu_hours * 3600 - self.gpu_time().held_s
            bounds.append(gpu_s / self._meter.gpus())
        return max(min(bounds), 0.0)

    def _epochs_to_begin(self) -> float:
        """Returns the expected number of epochs of the trainings that haven't begun."""
        limits = self.limits
        enough = is_enough(self.gain(), limits.min_gain)
        trials = 0 if enough else max(limits.trials - len(self.trials), 0) * self._trial_epochs()
        finalists = max(limits.finalists - len(self.repeats), 0) * limits.full_epochs
        return self._screening_left() + trials + finalists

    def _screening_left(self) -> float:
        """Returns the epochs of full trainings that the rest of the screening takes as long as."""
        limits, ended = self.limits, sum(each.ended for each in self.screening)
        if not limits.screening or self.trials[1:]:  # the baseline alone doesn't wait for it
            return 0.0
        return (limits.screening - ended) / limits.screening * limits.screening_epochs

    def _epochs_begun(self) -> list[tuple[TrainingProgress, float]]:
        """Returns the trainings that have begun and not ended, each with the expected number of its
        further epochs.
        """
        mean = self._trial_epochs()
        found = [(each, expected_left(each, mean)) for each in self.trials if not each.ended]
        return found + [(each, each.epochs_left) for each in self.repeats if not each.ended]

    def _epoch_s(self, training: TrainingProgress, typical: float) -> float:
        """Returns the expected seconds of the training's next epochs; `typical` are those of an
        epoch of which nothing more is known.
        """
        if training.metrics:
            return training.seconds / len(training.metrics)
        config = self._configs.get(training.training)
        found = self._speed.estimate(config, training.gpus) if self._speed and config else None
        return found.epoch_s if found else typical

    def _trial_epochs(self) -> float:
        """Returns the expected number of epochs of a trial."""
        ended = [len(each.metrics) for each in self.trials if each.ended]
        return (PRIOR_TRIALS * self.limits.trial_epochs + sum(ended)) / (PRIOR_TRIALS + len(ended))
