"""Reads the trials that reached each rung of a run, with their val_top1 there, as trials that
Optuna can analyse.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from results.analysis.run_records import RunRecords, read_run_records
from results.analysis.searched_ranges import rounded
from results.jsonl import check_regular, read_content
from results.records import StopReason, TrialRecord
from results.run_hints import resume_command
from results.store import TRIALS, RunError

JOURNAL = "journal.log"
"""A run's Optuna study is stored in the file of this name."""

DIVERGED = 0.0
"""A diverged trial has this value at the next rung that it would have reached; no other trial's
value is lower.
"""


def trials_at_rungs(run: Path) -> dict[int, list[FrozenTrial]]:
    """Returns the trials at each rung and at the last epoch, by epoch. The trials stand in the
    order of proposing.

    They are completed Optuna trials whose value is val_top1 at that epoch. Raises `RunError` and
    `RecordError` for a run that can't be read.
    """
    records = read_run_records(run)
    values = _values_at_rungs(records)
    known = read_fitting_proposals(run, records.manifest, records.trials) if values else {}
    return {epoch: _completed(known, values[epoch]) for epoch in values}


def _values_at_rungs(run: RunRecords) -> dict[int, dict[int, float]]:
    """Returns val_top1 by epoch and trial number, for each rung and the last epoch.

    A rung is an epoch after which a trial was stopped because of its rank. Where a run's trials
    were trained to several lengths, the last epoch of a length counts only for the trials whose
    learning-rate schedule ended there. A diverged trial gets the value `DIVERGED` at the first rung
    at or after the epoch in which it diverged, because its parameters are the reason why it has no
    better value.
    """
    records = run.trials
    ends = {number: int(r.config.get("epochs", 0)) for number, r in records.items()}
    rungs = {r.epochs for r in records.values() if r.reason is StopReason.RUNG}
    rungs |= set(ends.values()) - {0}
    found: dict[int, dict[int, float]] = {rung: {} for rung in sorted(rungs)}
    lengths = set(ends.values())

    def counts(number: int, epoch: int) -> bool:
        return epoch == ends[number] or epoch not in lengths

    for number, metrics in run.recorded:
        recorded = metrics.epoch in found
        if recorded and counts(number, metrics.epoch) and metrics.val_top1 is not None:
            found[metrics.epoch][number] = metrics.val_top1
    for number, record in records.items():
        later = [rung for rung in found if rung >= record.epochs and counts(number, rung)]
        if record.reason is StopReason.DIVERGED and later:
            found[later[0]][number] = DIVERGED
    return found


def read_proposals(run: Path) -> dict[int, FrozenTrial]:
    """Returns every trial's parameters and their ranges, by number, from the study's journal, and
    where the space was changed, as far as the present space has them.

    Reading works while a search writes the journal: Optuna skips an incomplete last line. Raises
    `RunError` where the journal is missing or damaged.
    """
    path = run / JOURNAL
    if not check_regular(path, lambda: "move it away"):
        raise RunError(
            f"{path} must be there, for it holds the parameters' ranges; copy it from where the "
            f"search ran, or go on with the run by `{resume_command(run)}`, which makes it anew."
        )
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
        names = [study.study_name for study in storage.get_all_studies()]
        known = storage.get_study_id_from_name(names[-1]) if names else None
        trials = [] if known is None else storage.get_all_trials(known, deepcopy=False)
    except Exception as error:  # Optuna replays whatever it finds there
        raise damage_error(path, f"{type(error).__name__}: {error}") from error
    # Optuna compares ranges millions of times where thousands of trials are analysed. With one
    # object for all equal ranges, that compares addresses.
    ranges: dict[BaseDistribution, BaseDistribution] = {}
    for trial in trials:
        trial.distributions = {
            name: ranges.setdefault(each, each) for name, each in trial.distributions.items()
        }
    return {trial.number: trial for trial in trials}


def read_fitting_proposals(
    run: Path, manifest: Mapping[str, Any], records: Mapping[int, TrialRecord]
) -> dict[int, FrozenTrial]:
    """Returns what `read_proposals` does. Raises `RunError` also for a journal that doesn't begin
    as it was when a session last ended in order, or that has other trials than the records.

    A running search writes a trial to its journal before its records. Reading the journal after the
    records therefore finds every recorded trial there.
    """
    path = run / JOURNAL
    known = read_proposals(run)
    lines = read_content(path)
    try:
        _ = [json.loads(line) for line in lines[-1:]]
    except ValueError as error:  # Optuna passes over it, but not once others follow
        raise damage_error(path, f"its last line can't be read: {error}") from error
    if seal := manifest.get("journal"):
        content = b"".join(line + b"\n" for line in lines)[: seal["bytes"]]
        if (len(content), crc32(content)) != (seal["bytes"], seal["crc32"]):
            raise damage_error(path, "it isn't as it was written")
    renewed = bool(manifest.get("searched", {}).get("since"))
    for number, record in records.items():
        trial = known.get(number)
        if trial is None or trial.state is TrialState.WAITING:
            raise damage_error(path, f"it has no trial {number}")
        if record.config and not (renewed or record.params.keys() == trial.params.keys()):
            raise damage_error(path, f"trial {number} has other parameters than in {TRIALS}")
        for name in record.params.keys() & trial.params.keys():
            if rounded(record.params[name]) not in (None, rounded(trial.params[name])):
                raise damage_error(path, f"{name} of trial {number} isn't as in {TRIALS}")
    return known


def damage_error(journal: Path, what: str) -> RunError:
    """Returns the error for a damaged journal; `what` is the damage in words. The run's records are
    not lost.
    """
    what = what.replace("\n", " ")
    return RunError(
        f"{journal} is damaged ({what}); go on with the run by "
        f"`{resume_command(journal.parent)}`, which makes it anew from the records."
    )


def _completed(known: Mapping[int, FrozenTrial], values: Mapping[int, float]) -> list[FrozenTrial]:
    """Returns completed Optuna trials in the order of their numbers, where `values` maps the number
    of each trial to its value.
    """
    trials = []
    for number in sorted(values):
        trial = known[number]
        # Optuna refuses a parameter outside of its range, which a baseline's can be. Such a trial
        # is left out, because the analysis has no place for it.
        with suppress(ValueError):
            trials.append(
                create_trial(
                    params=trial.params, distributions=trial.distributions, value=values[number]
                )
            )
    return trials


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silences Optuna's informational messages in a block, such as the one about each new study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
