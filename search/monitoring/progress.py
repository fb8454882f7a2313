"""What is known of a search while it runs: fed by the monitor's events, read by what shows it."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from results.analysis.finalist_comparison import BASELINE
from results.finalist_store import RepeatId
from results.records import EpochMetrics, FinalistRecord, StopReason, TrialRecord, TrialState
from search.study.proposal import Proposal
from trainables.config import TrialConfig

TrainingId = tuple[int, int | None]
"""A training: the trial's number, and of a finalist which repeat."""

RECENT = 16
"""Epochs whose mean is the rate of now."""

PRIOR_TRIALS = 3
"""As so many ended trials counts what the plan expects of one, beside those that have ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a search was given, under which name, and what its plan expects of it.

    `trial_epochs` are those that a trial is expected to have, on average; `full_epochs` those of
    a whole training; `finalists` counts their trainings. `used_s` is what earlier sessions took of
    `time_s`, `gpus` each training's share where nothing else is told. `None`: not limited.
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


@dataclass(kw_only=True, slots=True)
class TrainingProgress:
    """A trial, or a finalist's repeat, and how it stands.

    `length` in epochs is that of the whole training; `params` are known when it has ended; `best`
    is the first epoch with the highest val_top1; `seconds` is what all epochs took.
    """

    number: int
    repeat: int | None
    length: int
    baseline: bool
    config: dict[str, Any]
    gpus: float = 0.0
    params: dict[str, Any] = field(default_factory=dict)
    metrics: list[EpochMetrics] = field(default_factory=list)
    state: TrialState = TrialState.RUNNING
    reason: StopReason | None = None
    under_way: bool = False
    best: EpochMetrics | None = None
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """For people."""
        first = "baseline" if self.baseline else f"trial {self.number}"
        return f"{first}, repeat {self.repeat}" if self.repeat else first

    @property
    def trusted(self) -> bool:
        """Whether training went well as far as it went: neither failed nor diverged."""
        return self.state is not TrialState.FAILED and self.reason is not StopReason.DIVERGED

    def take(self, metrics: EpochMetrics) -> None:
        """One more epoch."""
        self.metrics.append(metrics)
        self.seconds += metrics.wall_s
        value, best = metrics.val_top1, self.best
        if value is not None and (best is None or value > (best.val_top1 or 0.0)):
            self.best = metrics

    def close(self, record: TrialRecord | FinalistRecord) -> None:
        """Takes how it stands from its record."""
        self.state, self.reason = record.state, record.reason
        self.params = record.params if isinstance(record, TrialRecord) else {}


class Progress:
    """Trainings as the events tell of them, and what follows from these. Call it from one thread.

    clock: seconds, from any moment on.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.trainings = limits, dict[TrainingId, TrainingProgress]()
        self.notice = ""
        self.highest = 0.0  # val_top1 of any epoch of any trial
        self._recent: deque[EpochMetrics] = deque(maxlen=RECENT)
        self._clock = clock
        self._began = clock()

    # --- events ----------------------------------------------------------------------------

    def recall(
        self,
        records: Mapping[int, TrialRecord],
        epochs: Mapping[int, Sequence[EpochMetrics]],
        finalists: Mapping[RepeatId, FinalistRecord],
        repeats: Mapping[RepeatId, Sequence[EpochMetrics]],
        baselines: Iterable[int] = (BASELINE,),
    ) -> None:
        """What earlier sessions have done."""
        firsts = {BASELINE, *baselines}
        known: list[tuple[TrainingId, TrialRecord | FinalistRecord, Sequence[EpochMetrics]]] = [
            *(((number, None), record, epochs[number]) for number, record in records.items()),
            *((key, record, repeats[key]) for key, record in finalists.items()),
        ]
        for key, record, metrics in known:
            made = self._made(key, record.config, key[0] in firsts, self.limits.gpus)
            for each in metrics:
                self.epoch(key, each)
            made.close(record)

    def started(
        self, proposal: Proposal[TrialConfig], gpus: float | None = None
    ) -> TrainingProgress:
        """A training begins, or goes on."""
        key = proposal.number, proposal.repeat
        baseline = proposal.baseline or proposal.number == BASELINE
        share = self.limits.gpus if gpus is None else gpus
        config = proposal.config.to_dict()
        training = self.trainings.get(key) or self._made(key, config, baseline, share)
        training.length, training.config = proposal.config.epochs, config
        training.gpus, training.under_way = share, True
        training.state, training.reason = TrialState.RUNNING, None
        return training

    def epoch(self, key: TrainingId, metrics: EpochMetrics) -> bool:
        """Whether the epoch is new: one that is recorded already may come again."""
        training = self.trainings[key]
        if metrics.epoch <= len(training.metrics):
            return False
        training.take(metrics)
        self._recent.append(metrics)
        if training.repeat is None:
            self.highest = max(self.highest, metrics.val_top1 or 0.0)
        return True

    def ended(self, key: TrainingId, record: TrialRecord | FinalistRecord) -> None:
        """Also of a trial that never began, whose configuration can't be trained."""
        known = self.trainings.get(key)
        training = known or self._made(key, record.config, key[0] == BASELINE, self.limits.gpus)
        training.under_way = False
        training.close(record)

    def _made(
        self, key: TrainingId, config: dict[str, Any], baseline: bool, gpus: float
    ) -> TrainingProgress:
        length = int(config.get("epochs", self.limits.full_epochs))
        self.trainings[key] = made = TrainingProgress(
            number=key[0], repeat=key[1], length=length, baseline=baseline, config=config, gpus=gpus
        )
        return made

    # --- what follows ----------------------------------------------------------------------

    def trials(self) -> list[TrainingProgress]:
        """Without the finalists' repeats."""
        return [each for each in self.trainings.values() if each.repeat is None]

    def under_way(self) -> list[TrainingProgress]:
        """What is being trained now, the finalists' repeats too."""
        return [each for each in self.trainings.values() if each.under_way]

    def endings(self) -> Counter[tuple[TrialState, StopReason | None]]:
        """How many trials have ended, by how and why."""
        ended = [each for each in self.trials() if each.state is not TrialState.RUNNING]
        return Counter((each.state, each.reason) for each in ended)

    def repeats_ended(self) -> int:
        """How many of the finalists' trainings."""
        return sum(
            each.repeat is not None and each.state is not TrialState.RUNNING
            for each in self.trainings.values()
        )

    def leaders(self) -> list[TrainingProgress]:
        """Trials with a result, best first, as the leaderboard has them; no failed ones."""
        found = [each for each in self.trials() if each.best and each.trusted]
        return sorted(found, key=lambda each: (-_top1(each), each.number))

    def best_val_top1(self) -> float | None:
        """Of any epoch of any trial that went well."""
        leaders = self.leaders()
        return _top1(leaders[0]) if leaders else None

    def gaps(self) -> list[float]:
        """Of the trainings that run, after the last epoch of each."""
        last = [each.metrics[-1].gap for each in self.under_way() if each.metrics]
        return [gap for gap in last if gap is not None]

    def images_per_s(self) -> float:
        """Of all trainings that run, at the rate of the last epochs."""
        return len(self.under_way()) * self._mean(lambda metrics: metrics.images_per_s)

    def epochs_per_s(self) -> float:
        """The same for epochs, with their evaluation."""
        wall_s = self._mean(lambda metrics: metrics.wall_s)
        return len(self.under_way()) / wall_s if wall_s else 0.0

    def _mean(self, value: Callable[[EpochMetrics], float]) -> float:
        return fmean(map(value, self._recent)) if self._recent else 0.0

    def gpu_hours(self) -> float:
        """Each training's share of a GPU times the time of its epochs."""
        return sum(each.gpus * each.seconds for each in self.trainings.values()) / 3600

    def epochs_done(self) -> int:
        """Of all trainings, those of earlier sessions too."""
        return sum(len(each.metrics) for each in self.trainings.values())

    def elapsed_s(self) -> float:
        """Since this session's trials could begin."""
        return self._clock() - self._began

    def used_s(self) -> float:
        """Of a time budget."""
        return self.limits.used_s + self.elapsed_s()

    # --- what is left ----------------------------------------------------------------------

    def epochs_left(self) -> float:
        """Expected: as many a trial as the ended ones had, and at first as the plan says."""
        limits, mean = self.limits, self._trial_epochs()
        left = max(limits.trials - len(self.trials()), 0) * mean
        repeats = sum(each.repeat is not None for each in self.trainings.values())
        left += max(limits.finalists - repeats, 0) * limits.full_epochs
        return left + sum(
            self._left_of(each, mean)
            for each in self.trainings.values()
            if each.state is TrialState.RUNNING
        )

    def time_left_s(self) -> float | None:
        """Until the search ends, an estimate; `None` before the first epoch.

        What is left of the budget, or of the work at the mean time of all epochs so far,
        whichever is less.
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
        ended = [
            len(each.metrics) for each in self.trials() if each.state is not TrialState.RUNNING
        ]
        return (PRIOR_TRIALS * self.limits.trial_epochs + sum(ended)) / (PRIOR_TRIALS + len(ended))

    def _left_of(self, training: TrainingProgress, mean: float) -> float:
        """One that has had more epochs than others have on average goes on for one more at least;
        nothing but divergence ends a baseline or a finalist early.
        """
        left = training.length - len(training.metrics)
        if training.baseline or training.repeat is not None:
            return left
        return min(left, max(mean - len(training.metrics), 1))


def _top1(training: TrainingProgress) -> float:
    best = training.best
    return (best.val_top1 or 0.0) if best else 0.0
