"""Recorded-looking epochs and a study on them, for tests that need no training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from results.records import EpochMetrics
from results.store import RunStore
from search.early_stopping.decision import Rules
from search.space import Space
from search.spaces import find_space
from search.study.optuna_journal import open_journal
from search.study.proposer import Proposer
from search.study.study import Study
from trainables.config import TrialConfig

RULES = Rules(
    epochs=9,
    grace=1,
    factor=3,
    max_gap=0.2,
    gap_patience=3,
    plateau_patience=0,
    num_classes=20,
)


DEMO = replace(find_space("demo"), prior={})
"""The demo space without its prior, of which the made curves know nothing."""


def metrics(epoch: int, val: float, *, gap: float = 0.0, loss: float | None = 2.0) -> EpochMetrics:
    """One epoch, of which the rules read `val_top1`, `gap` and `train_loss`."""
    return EpochMetrics(
        epoch=epoch,
        train_loss=loss,
        train_top1=val + gap,
        val_loss=1.0,
        val_top1=val,
        val_top5=1.0,
        gap=gap,
        lr=1e-3,
        images_per_s=100.0,
        train_s=1.0,
        wall_s=1.5,
        peak_memory_bytes=1,
    )


def curve(config: TrialConfig, epochs: int = 9) -> list[EpochMetrics]:
    """A made learning curve that depends on the configuration alone; lr 3e-3 is best."""
    import math

    quality = 0.8 - 0.15 * abs(math.log10(config.lr / 3e-3)) + 0.1 * config.dropout
    return [metrics(e, round(quality * (1 - 0.5**e), 6)) for e in range(1, epochs + 1)]


def open_study(
    directory: Path,
    *,
    trials: int = 12,
    rules: Rules = RULES,
    seed: int = 0,
    space: Space = DEMO,
    time_left: Callable[[], float] | None = None,
) -> Study[TrialConfig]:
    """A study of the demo space; close its store before opening it again."""
    proposer = Proposer(space, {"epochs": rules.epochs, "precision": "float32"}, seed)
    more = {"time_left": time_left} if time_left else {}
    store, storage = RunStore(directory), open_journal(directory)
    return Study(
        proposer=proposer, rules=rules, trials=trials, store=store, storage=storage, **more
    )
