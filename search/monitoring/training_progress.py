"""Keeps track of one training while a search runs."""

from dataclasses import dataclass, field
from typing import Any

from results.analysis.expected_gain import ExpectedGain
from results.records import (
    EpochMetrics,
    StopReason,
    TrainingId,
    TrainingRecord,
    TrialRecord,
    TrialState,
)


@dataclass(kw_only=True, slots=True)
class TrainingProgress:
    """Holds the progress of one training: a trial's, a finalist's or one of the screening.

    `length` is the number of epochs of the whole training. `params` are known once it has ended.
    `seconds` is the time of all its epochs. `gain` is what the search expected to gain by going on
    when a trial ended.
    """

    training: TrainingId
    length: int
    baseline: bool
    config: dict[str, Any]
    gpus: float = 0.0
    params: dict[str, Any] = field(default_factory=dict)
    metrics: list[EpochMetrics] = field(default_factory=list)
    state: TrialState = TrialState.RUNNING
    reason: StopReason | None = None
    under_way: bool = False
    seconds: float = 0.0
    gain: ExpectedGain | None = None

    @property
    def name(self) -> str:
        """Returns the training's name for people, such as `trial 3, repeat 2`."""
        if self.training.screening:
            return f"screening {self.training.number}"
        trial = "baseline" if self.baseline else f"trial {self.training.number}"
        return f"{trial}, repeat {self.training.repeat}" if self.training.is_finalist else trial

    @property
    def ended(self) -> bool:
        """Returns whether the training has ended, for whatever reason."""
        return self.state is not TrialState.RUNNING

    @property
    def trusted(self) -> bool:
        """Returns whether the training neither failed nor diverged so far."""
        return self.state is not TrialState.FAILED and self.reason is not StopReason.DIVERGED

    @property
    def epochs_left(self) -> int:
        """Returns the number of epochs until the whole training is done."""
        return self.length - len(self.metrics)

    @property
    def number(self) -> int:
        """Returns the number of the trial that is trained."""
        return self.training.number

    @property
    def last_val_top1(self) -> float | None:
        """Returns the val_top1 after the latest epoch, or `None` before the first one."""
        return self.metrics[-1].val_top1 if self.metrics else None

    def take(self, metrics: EpochMetrics) -> None:
        """Adds the metrics of one more epoch, and its time."""
        self.metrics.append(metrics)
        self.seconds += metrics.wall_s

    def close(self, record: TrainingRecord) -> None:
        """Takes over the state, the reason and the parameters from the record of the ended
        training.
        """
        self.state, self.reason = record.state, record.reason
        if isinstance(record, TrialRecord):
            self.params = record.params
            self.gain = ExpectedGain.from_json(record.gain) if record.gain else None


def expected_left(trial: TrainingProgress, mean: float) -> float:
    """Returns the expected number of further epochs of a trial, where a trial has `mean` epochs on
    average. A trial beyond the mean counts with one more epoch, and a baseline with all of its
    epochs, because nothing but divergence ends it early.
    """
    if trial.baseline:
        return trial.epochs_left
    return min(trial.epochs_left, max(mean - len(trial.metrics), 1))
