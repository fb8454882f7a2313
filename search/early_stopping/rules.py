"""Why a trial should end early: plain functions of its epochs so far.

Each returns a sentence when the trial should stop, `None` when it may go on.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from results.records import EpochMetrics

EXPLODED = 3.0
"""A training loss this many times the lowest so far, and above chance, isn't coming back."""

PLATEAU_DELTA = 0.002
"""val_top1 must rise by more than this share to count as progress."""


def find_divergence(epochs: Sequence[EpochMetrics], num_classes: int) -> str | None:
    """The training loss isn't finite, or has exploded above chance level, ln(classes)."""
    last = epochs[-1].train_loss
    if last is None:
        return "the training loss is not finite"
    lowest = min(e.train_loss for e in epochs if e.train_loss is not None)
    if last > EXPLODED * lowest and last > math.log(num_classes):
        return f"the training loss rose from {lowest:.3g} to {last:.3g}"
    return None


def find_overfitting(epochs: Sequence[EpochMetrics], max_gap: float, patience: int) -> str | None:
    """For `patience` epochs in a row the gap is above `max_gap` and val_top1 doesn't rise.

    It doesn't rise when none of these epochs has a new best value, nor all of them together a
    mean above that of as many epochs before (or of those there are). The mean tells a curve that
    has turned from one that creeps up and only waits for its noise to repeat a lucky epoch.
    """
    recent, before = epochs[-patience:], epochs[-2 * patience : -patience]
    gap = min(-math.inf if e.gap is None else e.gap for e in recent)
    if gap <= max_gap:
        return None
    stale = _stale(epochs, 0.0)
    if stale < patience or fmean(map(_val, recent)) > fmean(map(_val, before)):
        return None
    return f"gap {gap:.3f} > {max_gap:g} for {patience} epochs, no better val_top1 for {stale}"


def find_plateau(epochs: Sequence[EpochMetrics], patience: int) -> str | None:
    """val_top1 hasn't risen by more than `PLATEAU_DELTA` for `patience` epochs."""
    stale = _stale(epochs, PLATEAU_DELTA)
    if stale >= patience:
        return f"no better val_top1 for {stale} epochs"
    return None


def _stale(epochs: Sequence[EpochMetrics], delta: float) -> int:
    """How many epochs have passed since val_top1 last rose by more than `delta`."""
    best, since = -math.inf, 0
    for epoch in epochs:
        value = _val(epoch)
        if value > best + delta or best == -math.inf:
            best, since = value, 0
        else:
            since += 1
    return since


def _val(epoch: EpochMetrics) -> float:
    return -math.inf if epoch.val_top1 is None else epoch.val_top1
