"""The trials that reached each rung of a run, with what they showed there, for Optuna to judge."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, create_trial

from results.records import StopReason, TrialRecord
from results.store import TRIALS, RunError, read_epochs, read_trials

JOURNAL = "journal.log"

DIVERGED = 0.0
"""What a diverged trial counts at the rung that it would have come to: worse than any other."""


def trials_at_rungs(run: Path) -> dict[int, list[FrozenTrial]]:
    """By epoch, for each rung and the last epoch: the trials there, in the order of proposing.

    As completed trials whose value is val_top1 at that epoch. Raises `RunError` and `RecordError`
    for a run that can't be read.
    """
    values = _values_at_rungs(run)
    # Read after the records: a search writes a trial to its journal first.
    known = read_proposals(run) if values else {}
    check_params(known, read_trials(run), run.name)
    return {epoch: _completed(known, values[epoch]) for epoch in values}


def _values_at_rungs(run: Path) -> dict[int, dict[int, float]]:
    """val_top1 by epoch and trial number, for each rung and the last epoch.

    A rung is an epoch after which a trial was stopped because of its rank. Where trials of a run
    were trained to several lengths, the end of each counts for those alone whose learning-rate
    schedule ended there. A diverged trial counts `DIVERGED` at the first rung from the epoch on in
    which it diverged: its parameters are why it has nothing better to show.
    """
    records = read_trials(run)
    ends = {number: int(r.config.get("epochs", 0)) for number, r in records.items()}
    rungs = {r.epochs for r in records.values() if r.reason is StopReason.RUNG}
    rungs |= set(ends.values()) - {0}
    found: dict[int, dict[int, float]] = {rung: {} for rung in sorted(rungs)}

    def counts(number: int, epoch: int) -> bool:
        return epoch == ends[number] or epoch not in ends.values()

    for number, metrics in read_epochs(run):
        at_rung = metrics.epoch in found and counts(number, metrics.epoch)
        if at_rung and metrics.val_top1 is not None:
            found[metrics.epoch][number] = metrics.val_top1
    for number, record in records.items():
        later = [rung for rung in found if rung >= record.epochs and counts(number, rung)]
        if record.reason is StopReason.DIVERGED and later:
            found[later[0]][number] = DIVERGED
    return found


def read_proposals(run: Path) -> dict[int, FrozenTrial]:
    """Every trial's parameters and their ranges, by number, from the study's journal.

    Optuna only reads here, also while a search writes: a last line that isn't whole is left out.
    Raises `RunError` where there is no journal, or a damaged one.
    """
    path = run / JOURNAL
    if not path.exists():
        raise RunError(
            f"{path} must be there, for it alone holds the parameters' ranges; copy it from "
            "where the search ran."
        )
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
        names = [study.study_name for study in storage.get_all_studies()]
        known = storage.get_study_id_from_name(names[0]) if names else None
        trials = [] if known is None else storage.get_all_trials(known)
    except Exception as error:  # Optuna replays whatever it finds there
        raise damage_error(path, f"{type(error).__name__}: {error}") from error
    return {trial.number: trial for trial in trials}


def damage_error(journal: Path, what: str) -> RunError:
    """The error for a journal in which something is wrong; the run's records are not lost."""
    what = what.replace("\n", " ")
    return RunError(
        f"{journal} is damaged ({what}); restore it from a copy, or begin a new run that learns "
        f"from this one with --warm-start {journal.parent}."
    )


def check_params(
    known: Mapping[int, FrozenTrial], records: Mapping[int, TrialRecord], run: str
) -> None:
    """Compares the journal's parameters with the records', which are rounded to 12 digits.

    Raises `RunError` for a trial in which they differ.
    """
    for number, record in records.items():
        trial = known.get(number)
        params = {} if trial is None else trial.params
        for name in record.params.keys() & params.keys():
            ours, theirs = _rounded(record.params[name]), _rounded(params[name])
            if ours is not None and ours != theirs:
                raise RunError(
                    f"The Optuna journal of the run {run} must have the parameters of its records, "
                    f"but {name} of trial {number} is {theirs} there and {ours} in {TRIALS}; "
                    "restore both from a copy of the run."
                )


def _rounded(value: object) -> object:
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _completed(known: Mapping[int, FrozenTrial], values: Mapping[int, float]) -> list[FrozenTrial]:
    """The trials with these values, by their numbers."""
    if missing := values.keys() - known.keys():
        raise RunError(
            f"{JOURNAL} must hold every trial of the run, but it has no trial {min(missing)}; "
            "restore it from a copy of the run."
        )
    trials = []
    for number in sorted(values):
        trial = known[number]
        # Optuna refuses a value outside of its range, as a baseline's can be: it lies nowhere.
        with suppress(ValueError):
            trials.append(
                create_trial(
                    params=trial.params, distributions=trial.distributions, value=values[number]
                )
            )
    return trials


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna logs every study that is made."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
