"""Rules that end a trial early, beside the one of `search.early_stopping.detection`: plain
functions of its epochs.

All are true when the trial should stop after the last of these epochs.
"""

from collections.abc import Callable, Sequence

from results.records import EpochMetrics
from search.config.options import SearchOptions
from search.early_stopping import detection

Rule = Callable[[Sequence[EpochMetrics]], bool]

GAPS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2)
PATIENCES = (3, 5, 8)


def ours(max_gap: float, patience: int) -> Rule:
    """The rule that searches."""
    return lambda epochs: detection.find_overfitting(epochs, max_gap, patience) is not None


def in_a_row(max_gap: float, patience: int) -> Rule:
    """The same without its look at the mean: the gap and no new best for `patience` epochs."""
    return lambda epochs: (
        min(map(_gap, epochs[-patience:])) > max_gap and _stale(epochs) >= patience
    )


def last_gap(max_gap: float, patience: int) -> Rule:
    """The gap in the last epoch alone, and no new best for `patience` epochs."""
    return lambda epochs: _gap(epochs[-1]) > max_gap and _stale(epochs) >= patience


def relative_gap(share: float, patience: int) -> Rule:
    """As `last_gap`, the gap taken as a share of the training accuracy."""
    return lambda epochs: (
        _gap(epochs[-1]) > share * epochs[-1].train_top1 and _stale(epochs) >= patience
    )


def widened(by: float, patience: int) -> Rule:
    """The gap is wider than in the best epoch, `patience` or more epochs ago, by more than `by`."""

    def rule(epochs: Sequence[EpochMetrics]) -> bool:
        best = max(epochs, key=_val)
        return _gap(epochs[-1]) - _gap(best) > by and epochs[-1].epoch - best.epoch >= patience

    return rule


def patience(epochs: int) -> Rule:
    """Plain patience: no new best for so many epochs, whatever the gap."""
    return lambda seen: _stale(seen) >= epochs


def never(epochs: Sequence[EpochMetrics]) -> bool:
    """No rule."""
    return False


def _stale(epochs: Sequence[EpochMetrics]) -> int:
    """Epochs since the first of those with the best val_top1."""
    return epochs[-1].epoch - max(epochs, key=_val).epoch


def _val(epoch: EpochMetrics) -> float:
    return epoch.val_top1 or 0.0


def _gap(epoch: EpochMetrics) -> float:
    return epoch.gap or 0.0


def default() -> str:
    """The name in `RULES` of what a search does unless told otherwise."""
    return f"ours {SearchOptions().max_gap:g}, {SearchOptions().gap_patience}"


RULES: dict[str, Rule] = {
    "none": never,
    **{f"ours {gap:g}, {n}": ours(gap, n) for gap in GAPS for n in PATIENCES},
    **{f"in a row {gap:g}, {n}": in_a_row(gap, n) for gap in (0.05,) for n in PATIENCES},
    **{f"last gap {gap:g}, {n}": last_gap(gap, n) for gap in (0.05, 0.1, 0.2) for n in (3, 5)},
    **{f"relative gap {gap:g}, {n}": relative_gap(gap, n) for gap in (0.05, 0.1) for n in (3, 5)},
    **{f"widened {by:g}, {n}": widened(by, n) for by in (0.02, 0.05) for n in (3, 5)},
    **{f"patience {n}": patience(n) for n in (3, 5, 8, 10, 15)},
}
"""The rules by their names in the table; numbers: gap, epochs."""
