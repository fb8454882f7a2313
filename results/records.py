"""Defines the records of a run on disk, in plain Python, so that any program can read them.

Fractions lie in 0…1, times are in seconds, and memory is in bytes. A number that isn't finite is
written as `None`, because JSON has no NaN; divergence is a state of the trial rather than a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from common.json_records import JsonRecord

SCHEMA_VERSION = 1
"""Manifests of runs and records of final trainings contain this schema version."""
BEST_VERSION = 2
"""A file best.yaml contains this schema version. From version 2 on it must also contain its
checksum, so that a damaged file is noticed.
"""


def move_weights(config: Mapping[str, Any], path: str | None) -> dict[str, Any]:
    """Returns a copy of a recorded configuration with the present `path` of its file of weights.
    One that doesn't start from such a file, or for which `path` names none, stays as it is.
    """
    paths = config.get("weights"), path
    from_file = all(each not in (None, "none", "imagenet") for each in paths)
    return {**config, "weights": path} if from_file else dict(config)


class TrialState(StrEnum):
    """Names the state of a trial. `STOPPED` trials ended early, for the `StopReason` in their
    record.
    """

    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"


class StopReason(StrEnum):
    """Names the reason for which a trial ended before its last epoch. `MEMORY` and `STALLED` are
    reasons of failures; all others are reasons of stopped trials.
    """

    RUNG = "rung"
    OVERFITTING = "overfitting"
    DIVERGED = "diverged"
    PLATEAU = "plateau"
    BUDGET = "budget"
    BY_HAND = "by_hand"
    MEMORY = "memory"
    STALLED = "stalled"


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochMetrics(JsonRecord):
    """Holds the metrics of one trained and evaluated epoch. `epoch` counts from 1.

    `train_loss` is the running mean over the epoch's augmented batches, `train_top1` the accuracy
    on a clean sample of training images; it and all `val_` fields are measured in evaluation mode.
    `val_probability` is the mean probability of the right class after calibration. `gap` is
    `train_top1 - val_top1`. Losses are `None` when they are not finite; the `val_` fields and the
    gap are in final training, which has no val. `images_per_s` are trained images divided by
    `train_s`, and `wall_s` the epoch's time with its evaluation. `start_s` is the time to the first
    optimizer step, in a trial's first epoch with the network's building. `idle_s` is how long the
    worker waited for the search before the epoch, `loading_s` the part of `train_s` spent waiting
    for images, the first ones too. `skipped_steps` counts steps without effect, because a gradient
    overflowed in float16. Older records lack `loading_s` and `val_probability`.
    """

    epoch: int
    train_loss: float | None
    train_top1: float
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None
    gap: float | None
    lr: float
    images_per_s: float
    train_s: float
    wall_s: float
    peak_memory_bytes: int
    start_s: float = 0.0
    idle_s: float = 0.0
    loading_s: float | None = None
    skipped_steps: int = 0
    val_probability: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkCosts(JsonRecord):
    """Holds what using a network costs: the latency of one image's inference, in milliseconds, and
    the number of parameters, in millions.
    """

    latency_ms: float
    parameters_m: float


@dataclass(frozen=True, slots=True)
class TrainingId:
    """Names one training of a run: a trial's own, a finalist's with a fresh seed, or a short one of
    the screening before the trials.

    `number` is the trial's, from 0; `repeat` counts a finalist's trainings from 1 and is `None`
    for any other. Where `screening` is true, `number` counts the screening's trainings instead.
    Raises `ValueError` for any other numbers.
    """

    number: int
    repeat: int | None = None
    screening: bool = False

    def __post_init__(self) -> None:
        if type(self.number) is not int or self.number < 0:
            raise ValueError(f"number must be a whole number ≥ 0, but got {self.number!r:.40}.")
        if self.repeat is not None and (type(self.repeat) is not int or self.repeat < 1):
            raise ValueError(f"repeat must be None or ≥ 1, but got {self.repeat!r:.40}.")

    @property
    def is_finalist(self) -> bool:
        """Returns whether this is a finalist's training rather than a trial's own."""
        return self.repeat is not None

    @property
    def is_trial(self) -> bool:
        """Returns whether this is a trial's own training."""
        return not self.is_finalist and not self.screening

    @property
    def stem(self) -> str:
        """Returns the name of the training's checkpoint and tracebacks, without a suffix."""
        if self.screening:
            return f"screening-{self.number:04d}"
        return f"{self.number:04d}" + (f"-repeat-{self.repeat}" if self.is_finalist else "")

    def __str__(self) -> str:
        """Returns the training's name in process titles, Ray and trackers, which sorts by trial."""
        return self.stem if self.screening else f"trial-{self.stem}"

    def name(self, *, baseline: bool) -> str:
        """Returns the training's name, with a mark if it is a baseline's."""
        return f"{self}-baseline" if baseline else str(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord(JsonRecord):
    """Holds the state of one trial at the time of recording. The last line with a trial's number in
    `trials.jsonl` is the valid one.

    `params` are the parameters that the sampler chose, and `config` is the complete configuration.
    `epochs` is the number of trained epochs, and `last_val_top1` the accuracy after the last of
    them, by which trials are ranked; records of older versions lack it. `best_epoch` is the first
    epoch with the highest `val_top1`. `retried` is the reason for which training broke off once and
    continued from its last checkpoint. `latency_ms` and `parameters_m` are those of `NetworkCosts`;
    only searches with several objectives record them. `gain` is what the search expected to gain
    by going on when the trial ended (`results.analysis.expected_gain`), if that was known.
    """

    number: int
    state: TrialState
    params: dict[str, Any]
    config: dict[str, Any]
    reason: StopReason | None = None
    detail: str | None = None
    epochs: int = 0
    best_epoch: int | None = None
    best_val_top1: float | None = None
    last_val_top1: float | None = None
    wall_s: float = 0.0
    latency_ms: float | None = None
    parameters_m: float | None = None
    retried: str | None = None
    gain: dict[str, Any] | None = None

    @property
    def training(self) -> TrainingId:
        """Returns the name of the trial's own training."""
        return TrainingId(self.number)

    def reached(self, epochs: Sequence[EpochMetrics]) -> Self:
        """Returns a copy of the trial's record that is updated by all `epochs` trained so far:
        their number, the best one, the last one, and their total time.
        """
        best = max(epochs, key=lambda e: e.val_top1 or 0.0, default=None)
        return replace(
            self,
            epochs=len(epochs),
            best_epoch=best.epoch if best else None,
            best_val_top1=best.val_top1 if best else None,
            last_val_top1=epochs[-1].val_top1 if epochs else None,
            wall_s=round(sum(e.wall_s for e in epochs), 3),
        )

    def standing(self, epochs: Sequence[EpochMetrics]) -> Self:
        """Returns the record with what the trial's recorded `epochs` say where the record itself
        doesn't, because the trial is unfinished, or an older version wrote the record.
        """
        lacking = self.last_val_top1 is None and len(epochs) == self.epochs
        return self.reached(epochs) if lacking or self.state is TrialState.RUNNING else self

    @property
    def trusted(self) -> bool:
        """Returns whether the trial neither failed nor diverged, so that its results count."""
        return self.state is not TrialState.FAILED and self.reason is not StopReason.DIVERGED


@dataclass(frozen=True, kw_only=True, slots=True)
class SideRecord(JsonRecord):
    """Holds the state of one training beside the trials: a finalist's, or one of the screening.

    The state `running` covers both a training that is under way and one that has yet to start.
    `val_top1` is the accuracy after the last epoch, and is present when the training is complete.
    """

    state: TrialState
    config: dict[str, Any]
    reason: StopReason | None = None
    detail: str | None = None
    epochs: int = 0
    val_top1: float | None = None
    wall_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalistRecord(SideRecord):
    """Holds the state of one training of a finalist with a fresh seed. The last line with a
    training's trial and repeat in `finalists.jsonl` is the valid one.

    `repeat` counts from 1, and all finalists have the same seed in the same repeat. `config` is the
    trial's configuration with that seed. No epoch is chosen by val: final training has no val, and
    therefore also ends with its last epoch.
    """

    trial: int
    repeat: int

    @property
    def training(self) -> TrainingId:
        """Returns the name of the training that this record describes."""
        return TrainingId(self.trial, self.repeat)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScreeningRecord(SideRecord):
    """Holds the state of one short training of the screening. The last line with a training's
    number in `screening.jsonl` is the valid one.

    `number` counts from 0, which is the baseline. `params` are the values of the searched
    parameters, and `config` is what is trained: the configuration with fewer epochs and smaller
    images. `images` is the share of the training images that it sees.
    """

    number: int
    params: dict[str, Any]
    images: float

    @property
    def training(self) -> TrainingId:
        """Returns the name of the training that this record describes."""
        return TrainingId(self.number, screening=True)


TrainingRecord = TrialRecord | FinalistRecord | ScreeningRecord
"""A record of this type describes any training of a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalRecord(JsonRecord):
    """Holds the outcome of final training: the accuracy on test, which is opened once, and what was
    trained.

    `test_top1` is the accuracy on the images as they are. `test_top1_flip` is the accuracy by the
    mean logits of each image and its mirror image, computed in the same pass; older records lack
    this field.
    """

    config: dict[str, Any]
    test_top1: float
    test_top5: float
    test_loss: float | None
    train_top1: float
    test_images: int
    train_images: int
    wall_s: float
    provenance: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    test_top1_flip: float | None = None
