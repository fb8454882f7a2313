"""Where a study keeps what it sees: a run directory, or memory alone for a simulated search.

A study needs two things: a `Store` for its records, which are the truth, and an Optuna storage,
which follows them.
"""

import copy
import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from results.analysis.pareto import OBJECTIVES, values
from results.analysis.rung_values import JOURNAL, check_params, damage_error
from results.jsonl import cut_torn_line
from results.records import StopReason, TrialRecord
from results.records import TrialState as Ended
from results.store import RunError


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna logs every study and trial; our own monitor tells the same."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def journal(directory: Path) -> Path:
    """Where a run keeps its Optuna journal."""
    return directory / JOURNAL


def journal_storage(directory: Path) -> BaseStorage:
    """Optuna's storage of a run: crash-safe, and opened live by `optuna-dashboard`.

    Raises `RunError` for a damaged journal.
    """
    path = journal(directory)
    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError:
        raise
    except Exception as error:  # Optuna replays whatever it finds there
        raise damage_error(path, f"{type(error).__name__}: {error}") from error


def journal_seal(directory: Path) -> dict[str, int]:
    """What tells later whether the journal, as far as it has come now, is still the same.

    Of whole lines: what a full disk left of a last one is cut off when the journal is opened.
    """
    content = journal(directory).read_bytes()
    content = content[: content.rfind(b"\n") + 1]
    return {"bytes": len(content), "crc32": crc32(content)}


def open_journal(directory: Path, seal: Mapping[str, int] | None) -> BaseStorage:
    """`journal_storage`, to be written: a line that a killed writer left half is cut off.

    `seal` is the journal's when the search was last ended in order, if it ever was. Raises
    `RunError` for a journal that doesn't begin as it was then.
    """
    path = journal(directory)
    if path.exists():
        cut_torn_line(path)
        content = path.read_bytes()[: seal["bytes"]] if seal else b""
        if seal and (len(content), crc32(content)) != (seal["bytes"], seal["crc32"]):
            raise damage_error(path, "it isn't as it was written")
    return journal_storage(directory)


def open_optuna(
    storage: BaseStorage, name: str, first: dict[str, Any] | None, objectives: Sequence[str]
) -> optuna.Study:
    """The study in `storage`, or a new one, `name`, that begins with the parameters `first`.

    A run has one study, which keeps its name when the run's folder is copied to another.
    """
    known = optuna.get_all_study_names(storage)
    ways = [OBJECTIVES[each] for each in objectives]
    with quiet_optuna():
        study = optuna.create_study(
            storage=storage, study_name=(known or [name])[0], directions=ways, load_if_exists=True
        )
        if len(objectives) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(objectives))  # for `optuna-dashboard`
        if first is not None and not study.get_trials(deepcopy=False):
            study.enqueue_trial(first)
    return study


def check_journal(
    known: Sequence[FrozenTrial], recorded: Mapping[int, TrialRecord], run: str
) -> int:
    """How many trials have begun in an Optuna study.

    Raises `RunError` when that lacks some of a run's recorded ones, or has others in their place.
    """
    begun = {trial.number for trial in known if trial.state is not TrialState.WAITING}
    if missing := recorded.keys() - begun:
        raise RunError(
            f"The Optuna journal must hold every trial of the run {run}, but {len(missing)} of "
            f"{len(recorded)} are missing; restore it from a copy of the run."
        )
    check_params({trial.number: trial for trial in known}, recorded, run)
    return len(begun)


def ask_again(study: optuna.Study, trial: FrozenTrial) -> optuna.Trial:
    """A trial that a killed search had asked for, as if its parameters had yet to be drawn.

    It may have some of them already. The sampler draws these once more, to the same values: the
    others would be different if they were the first that it draws.
    """
    again = optuna.Trial(study, trial._trial_id)
    blank = copy.copy(trial)
    blank.params, blank.distributions = {}, {}
    again._cached_frozen_trial = blank
    return again


MISSING = "epochs_missing"
"""A constraint on Optuna's trials: none may be missing of a full training."""


def tell_missing(trial: optuna.Trial, epochs: int) -> None:
    """Says of a trial that was stopped how many epochs of a full training it lacks.

    With several objectives Optuna takes no values before a trial's end, and told PRUNED alone it
    would take the earliest stopped trials for the best of them. Told COMPLETE they would be
    compared at another length; told FAIL, forgotten. A violated constraint puts them behind all
    that are complete, those that came further first.
    """
    if MISSING not in trial.constraints:  # set already where a search was killed in between
        trial.set_constraint(MISSING, epochs)


MEMORY = "memory"
"""The constraint's name: 1 where a trial ran out of memory; trials that fitted have none."""


def tell_infeasible(study: optuna.Study, trial: optuna.Trial) -> None:
    """Ends a trial that ran out of memory, as infeasible whatever epochs it may have reported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # set already, by a search that was killed here
        trial.set_constraint(MEMORY, 1.0)
    study.tell(trial, state=TrialState.PRUNED)


def tell_ending(
    study: optuna.Study,
    trial: optuna.Trial,
    record: TrialRecord,
    objectives: Sequence[str],
    epochs: int,
) -> None:
    """Ends a trial whose full training takes `epochs`: PRUNED, not COMPLETE, for what was stopped.

    With several objectives a trial for which memory was wanting lacks all of its epochs, and so
    is behind every one that was stopped.
    """
    several = len(objectives) > 1
    if record.state is Ended.COMPLETE:
        study.tell(trial, values(record, objectives))
    elif record.state is Ended.STOPPED and record.trusted:
        if several:
            tell_missing(trial, epochs - record.epochs)
        study.tell(trial, state=TrialState.PRUNED)
    elif record.reason is StopReason.MEMORY:
        if several:
            tell_missing(trial, epochs)
        tell_infeasible(study, trial)
    else:
        study.tell(trial, state=TrialState.FAIL)


def find_open_trials(
    study: optuna.Study, known: Sequence[FrozenTrial], recorded: Collection[int]
) -> tuple[dict[int, optuna.Trial], dict[int, set[int]], list[FrozenTrial]]:
    """What of the `known` trials Optuna has heard no end of, in a search that goes on.

    (those recorded, by number; the epochs reported of each; those that aren't recorded, because
    the search was killed between asking for them and recording them).
    """
    running = [trial for trial in known if trial.state is TrialState.RUNNING]
    mine = [trial for trial in running if trial.number in recorded]
    asked = {trial.number: optuna.Trial(study, trial._trial_id) for trial in mine}
    reported = {trial.number: set(trial.intermediate_values) for trial in mine}
    return asked, reported, [trial for trial in running if trial.number not in recorded]
