"""A run on disk as a search leaves it, from a list of trials; for tests that need no search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from results.records import FinalistRecord, StopReason, TrialRecord, TrialState
from results.side_store import SideStore
from results.store import RunStore
from tests.search.study_on_curves import metrics


@dataclass(frozen=True, kw_only=True)
class Made:
    """A trial: its parameters, val_top1 of its epochs, and how it ended.

    `epochs` is how long it was to be, by default as the run's others. `gap` grows to its value
    over the trial's epochs.
    """

    params: Mapping[str, Any]
    values: Sequence[float]
    state: TrialState = TrialState.COMPLETE
    reason: StopReason | None = None
    epochs: int | None = None
    detail: str | None = None
    gap: float = 0.0


def add_trial(store: RunStore, record: TrialRecord) -> None:
    """Adds a trial's record behind as many epochs as it has, with its last value."""
    for epoch in range(1, record.epochs + 1):
        store.add_epoch(record.number, metrics(epoch, record.last_val_top1 or 0.1))
    store.add_trial(record)


def add_finalist(store: SideStore[FinalistRecord], record: FinalistRecord) -> None:
    """Adds a finalist's record, behind its last epoch where it is complete."""
    if record.val_top1 is not None:
        record = replace(record, epochs=1)
        store.add_epoch(record.training, metrics(1, record.val_top1))
    store.add(record)


def make_run(
    directory: Path,
    ranges: Mapping[str, BaseDistribution],
    trials: Sequence[Made],
    epochs: int,
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """Writes manifest, records and journal; trials are numbered in their order."""
    store = RunStore.create(directory, {"name": directory.name} | dict(manifest or {}))
    storage = JournalStorage(JournalFileBackend(str(directory / "journal.log")))
    study = optuna.create_study(storage=storage, direction="maximize")
    for number, made in enumerate(trials):
        own = {name: ranges[name] for name in made.params}
        study.add_trial(
            create_trial(
                params=dict(made.params), distributions=own, state=optuna.trial.TrialState.PRUNED
            )
        )
        reached = [
            metrics(epoch, value, gap=made.gap * epoch / len(made.values))
            for epoch, value in enumerate(made.values, 1)
        ]
        for each in reached:
            store.add_epoch(number, each)
        record = TrialRecord(
            number=number,
            state=made.state,
            params=dict(made.params),
            config=dict(made.params) | {"epochs": made.epochs or epochs},
            reason=made.reason,
            detail=made.detail,
        )
        store.add_trial(record.reached(reached))
    store.close()
    return directory
