"""What ending trials early saves and loses, on a table of recorded curves."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.records import EpochMetrics
from search.simulation.recorded_curves import Curves, Matrix
from tests.benchmarks.overfitting_rules import Rule

AT_LAST = 5
"""Epochs over whose mean the end of a curve is judged: one bad last epoch is no overfitting."""

SUBSETS, TRIALS = 100, 50
"""Random searches drawn from a table, and the trials of each."""

Epochs = NDArray[np.int64]
Mask = NDArray[np.bool_]


def parted(curves: Curves, by: float) -> Mask:
    """(n,): training ends more than `by` above the best validation value, validation below.

    Both relative to that best value, the ends as means of the last `AT_LAST` epochs.
    """
    best = curves.val.max(axis=1)
    rises: Mask = _train(curves)[:, -AT_LAST:].mean(axis=1) > (1 + by) * best
    falls: Mask = curves.val[:, -AT_LAST:].mean(axis=1) < (1 - by) * best
    return rises & falls


def fallen(curves: Curves, by: float) -> Mask:
    """(n,): the last validation value is more than `by` below the best, and training has risen.

    Looser than `parted`: a noisy last epoch will do, and any rise since the best one.
    """
    train, best = _train(curves), curves.val.argmax(axis=1)
    rises: Mask = train[:, -1] > train[np.arange(len(train)), best]
    falls: Mask = curves.val[:, -1] < (1 - by) * curves.val.max(axis=1)
    return rises & falls


DEFINITIONS: dict[str, Callable[[Curves], Mask]] = {
    "parted by 1 %": lambda curves: parted(curves, 0.01),
    "parted by 0.5 %": lambda curves: parted(curves, 0.005),
    "parted by 2 %": lambda curves: parted(curves, 0.02),
    "fallen by 1 %": lambda curves: fallen(curves, 0.01),
    "fallen by 2 %": lambda curves: fallen(curves, 0.02),
}
"""Which trials overfit; the first is the definition, the others show what depends on it."""


def stops(curves: Curves, rules: dict[str, Rule]) -> dict[str, Epochs]:
    """(n,) for each rule: after how many epochs it ends each of the table's trials."""
    found = {name: np.full(len(curves.val), curves.epochs) for name in rules}
    for row in range(len(curves.val)):
        epochs = [curves.metrics(row, epoch) for epoch in range(1, curves.epochs + 1)]
        for name, rule in rules.items():
            found[name][row] = stop(epochs, rule)
    return found


def stop(epochs: Sequence[EpochMetrics], rule: Rule) -> int:
    """After how many of these epochs the rule ends the trial; all of them if it doesn't."""
    seen = (count for count in range(1, len(epochs)) if rule(epochs[:count]))
    return next(seen, len(epochs))


def figures(curves: Curves, stopped: Epochs) -> dict[str, Any]:
    """What ending the trials after `stopped` epochs saves and loses."""
    trained = np.arange(curves.epochs) < stopped[:, None]
    kept = np.where(trained, curves.val, 0.0).max(axis=1)
    best = curves.val.max(axis=1)
    saved = curves.epochs - stopped
    return {
        "trials": len(stopped),
        "saved": round(float(saved.sum() / (curves.epochs * len(stopped))), 5),
        "overfitting": {
            name: _of_those(those(curves), saved, curves.epochs)
            for name, those in DEFINITIONS.items()
        },
        **_lost(kept, best),
    }


def _of_those(those: Mask, saved: Epochs, epochs: int) -> dict[str, int]:
    return {"trials": int(those.sum()), "epochs": epochs * int(those.sum()),
            "saved": int(saved[those].sum())}  # fmt: skip


def _lost(kept: Matrix, best: Matrix) -> dict[str, float]:
    """The incumbent's value with the rule, against that without, over random searches.

    `lost` is relative to the value. `loss_rise` is the same in -log(value), which for a table of
    losses is the loss itself.
    """
    rng = np.random.default_rng(0)
    size = min(TRIALS, len(best))
    drawn = [rng.choice(len(best), size, replace=False) for _ in range(SUBSETS)]
    pairs = np.array([(kept[rows].max(), best[rows].max()) for rows in drawn])
    lost = 1 - pairs[:, 0] / pairs[:, 1]
    rise = np.log(pairs[:, 0]) / np.log(pairs[:, 1]) - 1
    return {
        "lost": round(float(lost.mean()), 6),
        "lost_worst": round(float(lost.max()), 6),
        "lost_table": round(float(1 - kept.max() / best.max()), 6),
        "loss_rise": round(float(rise.mean()), 6),
    }


def at_best(curves: Curves) -> Epochs:
    """(n,): the best epochs. Nothing saves more without losing something."""
    return np.asarray(curves.val.argmax(axis=1) + 1, dtype=np.int64)


def _train(curves: Curves) -> Matrix:
    return curves.val if curves.train is None else curves.train
