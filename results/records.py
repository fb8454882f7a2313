"""What remains on disk: the records of a run, in plain Python, so that anything can read them.

Fractions lie in 0…1, times are in seconds, memory in bytes. A number that isn't finite is
written as `None`: JSON has no NaN, and a diverged trial is a state, not a number.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from typing import Any, Self, TypeVar, cast, get_args, get_origin

from common.errors import UserError

T = TypeVar("T")
SCHEMA_VERSION = 1
BEST_VERSION = 2
"""Of best.yaml; from 2 on it must have its checksum, so that one that is damaged isn't missed."""


class TrialState(StrEnum):
    """Where a trial stands. `STOPPED` trials ended early, for the reason recorded with them."""

    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"


class StopReason(StrEnum):
    """Why a trial ended before its last epoch. `MEMORY` and `STALLED` are why one failed, the
    others stop.
    """

    RUNG = "rung"
    OVERFITTING = "overfitting"
    DIVERGED = "diverged"
    PLATEAU = "plateau"
    BUDGET = "budget"
    MEMORY = "memory"
    STALLED = "stalled"


class RecordError(UserError, ValueError):
    """A record on disk can't be read; the message names the file or field and the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochMetrics:
    """One trained and evaluated epoch. `epoch` counts from 1.

    `train_loss` is the running mean over the epoch's augmented batches; `train_top1` is the
    accuracy on a clean sample of the training images, in evaluation mode, as is everything
    that starts with `val_`. `gap` is `train_top1 - val_top1`. Losses are `None` when they are
    not finite; the `val_` fields and the gap are `None` only in final training, which has no
    validation images. `images_per_s` counts trained images against `train_s`; `wall_s` is the
    whole epoch with its evaluation. `start_s` is the time to the epoch's first optimizer step,
    in a trial's first epoch from the trial's beginning, so with building the network; `idle_s`
    how long the worker waited for the search before the epoch. `loading_s` is the part of
    `train_s` in which training waited for images, the first ones too; older records lack it.
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

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Reads a record back, unknown keys left out. Raises `RecordError` for missing ones."""
        return _read(cls, value)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkCosts:
    """What using a network costs: one image's inference in milliseconds, and 10⁶ parameters."""

    latency_ms: float
    parameters_m: float

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Reads costs back, unknown keys left out. Raises `RecordError` for missing ones."""
        return _read(cls, value)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """One trial as it stands; the last line for a number in `trials.jsonl` is the true one.

    `params` are what the sampler chose, `config` all that decides the trial. `best_epoch` is
    the first epoch with the highest `val_top1`; `epochs` how many were trained. `retried` says
    why training broke off once and went on from its last checkpoint. `latency_ms` and
    `parameters_m` are those of `NetworkCosts`, in searches with several objectives only.
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
    wall_s: float = 0.0
    latency_ms: float | None = None
    parameters_m: float | None = None
    retried: str | None = None

    def reached(self, epochs: Sequence[EpochMetrics]) -> Self:
        """This trial after `epochs`: how many, the best of them, and their time."""
        best = max(epochs, key=lambda e: e.val_top1 or 0.0, default=None)
        return replace(
            self,
            epochs=len(epochs),
            best_epoch=best.epoch if best else None,
            best_val_top1=best.val_top1 if best else None,
            wall_s=round(sum(e.wall_s for e in epochs), 3),
        )

    @property
    def trusted(self) -> bool:
        """Whether training went well as far as it went: neither failed nor diverged."""
        return self.state is not TrialState.FAILED and self.reason is not StopReason.DIVERGED

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Reads a record back, unknown keys left out. Raises `RecordError` for missing ones."""
        return _read(cls, value, state=TrialState, reason=StopReason)


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalistRecord:
    """One training of a finalist with a fresh seed; the last line for (trial, repeat) counts.

    `repeat` counts from 1, and every finalist has the same seed in the same repeat. `config` is
    the trial's with that seed. `running` means under way or still to come. `val_top1` is the last
    epoch's, and is there when the training is complete: final training, which has no val to
    choose an epoch by, ends with that epoch too.
    """

    trial: int
    repeat: int
    state: TrialState
    config: dict[str, Any]
    reason: StopReason | None = None
    detail: str | None = None
    epochs: int = 0
    val_top1: float | None = None
    wall_s: float = 0.0

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Reads a record back, unknown keys left out. Raises `RecordError` for missing ones."""
        return _read(cls, value, state=TrialState, reason=StopReason)


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalRecord:
    """The outcome of final training: test accuracy, opened once, and what was trained.

    `test_top1` is that of the images as they are, `test_top1_flip` that of the mean logits of
    each image and its mirror image, seen in the same pass; older records lack it.
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

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Reads a record back, unknown keys left out. Raises `RecordError` for missing ones."""
        return _read(cls, value)


def _read(cls: type[T], value: dict[str, Any], **enums: type[StrEnum]) -> T:
    known = {f.name for f in fields(cast(Any, cls))}
    kept = {key: item for key, item in value.items() if key in known}
    try:
        for key, enum in enums.items():
            if kept.get(key) is not None:
                kept[key] = enum(kept[key])
        kinds = _kinds(cast(Any, cls))
        for key, item in kept.items():
            if not isinstance(item, kinds[key]) or _odd(item, kinds[key]):
                raise ValueError(f"{key}={item!r:.40} is of another kind")
        return cls(**kept)
    except (TypeError, ValueError) as error:
        raise RecordError(f"{cls.__name__} can't be read: {error}") from error


@cache
def _kinds(cls: type) -> dict[str, tuple[type, ...]]:
    """The types that each field of a record may have; a whole number may stand for a float."""
    found = {}
    for f in fields(cls):
        kinds = [get_origin(kind) or kind for kind in get_args(f.type) or (f.type,)]
        if get_origin(f.type) is dict:
            kinds = [dict]
        found[f.name] = tuple({*kinds, *((int,) if float in kinds else ())})
    return cast(dict[str, tuple[type, ...]], found)


def _odd(value: object, kinds: tuple[type, ...]) -> bool:
    """Whether it is a number that JSON has and records don't: true and false, NaN, infinity."""
    if isinstance(value, bool):
        return bool not in kinds
    return isinstance(value, float) and not math.isfinite(value)


def to_json(record: Any) -> str:
    """One record as one line of JSON. Raises `ValueError` for NaN and infinity."""
    return json.dumps(asdict(record), allow_nan=False, separators=(",", ":"))


def training_name(number: int, repeat: int | None, *, baseline: bool = False) -> str:
    """Its name there, in the order of numbers."""
    again = f"-repeat-{repeat}" if repeat else ""
    return f"trial-{number:04d}{again}" + ("-baseline" if baseline else "")
