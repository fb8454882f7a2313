"""A study of made-up trials: one parameter, one baseline, and records in a run's folder."""

from typing import Any

import optuna
from optuna.storages import BaseStorage

from results.store import RunStore
from search.early_stopping.decision import Rules
from search.space import Space
from search.study.proposer import Proposer
from search.study.study import Study
from trainables.config import TrialConfig


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    return {"dropout": trial.suggest_float("dropout", 0.0, 0.9)}


def made_up_study(
    store: RunStore,
    storage: BaseStorage,
    *,
    trials: int,
    epochs: int,
    grace: int,
    factor: int = 2,
    dropout: float = 0.0,
) -> Study[TrialConfig]:
    """The study of so many trials, whose baseline has this dropout."""
    baseline = TrialConfig(network="resnet18", dropout=dropout, epochs=epochs, precision="float32")
    space = Space(summary="made up", dataset="demo", baseline=baseline, suggest=suggest)
    rules = Rules(
        epochs=epochs, grace=grace, factor=factor, max_gap=0.0, gap_patience=3, plateau_patience=0,
        num_classes=20,
    )  # fmt: skip
    return Study(
        proposer=Proposer(space, {}, 0), rules=rules, trials=trials, store=store, storage=storage
    )
