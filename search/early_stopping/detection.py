"""Finds reasons why a trial should end early, as plain functions of its epochs so far.

Each function returns a sentence when the trial should stop, and `None` when it may continue.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from results.records import EpochMetrics

EXPLODED = 3.0
"""A training loss above this multiple of the lowest so far, and above the loss of random guessing,
doesn't recover.
"""

PLATEAU_DELTA = 0.002
"""A rise of val_top1, a fraction, must exceed this value to count as progress."""


def find_divergence(epochs: Sequence[EpochMetrics], num_classes: int) -> str | None:
    """Returns why a trial has diverged: its training loss isn't finite, or has exploded above the
    loss of random guessing, ln(classes). Returns `None` where it hasn't.
    """
    last = epochs[-1].train_loss
    if last is None:
        return "the training loss is not finite"
    lowest = min(e.train_loss for e in epochs if e.train_loss is not None)
    if last > EXPLODED * lowest and last > math.log(num_classes):
        return f"the training loss rose from {lowest:.3g} to {last:.3g}"
    return None


def find_overfitting(epochs: Sequence[EpochMetrics], max_gap: float, patience: int) -> str | None:
    """Returns why a trial overfits: for `patience` epochs in a row the gap was above `max_gap` and
    val_top1 didn't rise. Returns `None` where it doesn't overfit.

    val_top1 didn't rise if none of these epochs set a new best value, and their mean is no higher
    than that of as many epochs before (or of those that exist). The mean distinguishes a curve that
    has turned from one that rises slowly and hasn't yet exceeded a lucky epoch.
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
    """Returns why a trial has reached a plateau: for `patience` epochs val_top1 hasn't risen by
    more than `PLATEAU_DELTA`. Returns `None` where it hasn't.
    """
    stale = _stale(epochs, PLATEAU_DELTA)
    if stale >= patience:
        return f"no better val_top1 for {stale} epochs"
    return None


def _stale(epochs: Sequence[EpochMetrics], delta: float) -> int:
    """Returns the number of epochs since val_top1 last rose by more than `delta`."""
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
