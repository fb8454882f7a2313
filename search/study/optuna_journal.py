"""Opens the journal of a run's Optuna study, seals it, so that damage is noticed, and makes it anew
from the run's records where it doesn't follow them.

The records are the truth. A search that goes on with such a journal proposes and decides as if
nothing had happened to the old one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from results.analysis.pareto import values
from results.analysis.run_records import RunRecords
from results.analysis.rung_values import JOURNAL, quiet_optuna, read_fitting_proposals
from results.jsonl import cut_torn_line
from results.records import TrialRecord
from results.records import TrialState as Ended
from results.store import RunError
from search.samplers.learning_curves import value_of
from search.study.optuna_mirror import open_optuna


class ExpressedTrial(NamedTuple):
    """Holds a trial's parameters as a space gives them now, with their distributions."""

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]


def journal(directory: Path) -> Path:
    """Returns the path of a run's Optuna journal."""
    return directory / JOURNAL


def journal_storage(directory: Path) -> BaseStorage:
    """Returns Optuna's storage of a run, which a crash can't damage and `optuna-dashboard` can open
    while the run is going on.
    """
    return JournalStorage(JournalFileBackend(str(journal(directory))))


def journal_seal(directory: Path) -> dict[str, int]:
    """Returns the length and the checksum of the journal's whole lines, by which
    `results.analysis.rung_values.read_fitting_proposals` recognises whether they have changed.

    What a full disk left of a last line doesn't count: it is cut off when the journal is opened.
    """
    content = journal(directory).read_bytes()
    content = content[: content.rfind(b"\n") + 1]
    return {"bytes": len(content), "crc32": crc32(content)}


def open_journal(directory: Path) -> BaseStorage:
    """Opens the storage of a run for writing, after cutting off a line that a killed writer left
    half.
    """
    cut_torn_line(journal(directory))
    return journal_storage(directory)


def find_difference(run: RunRecords, objectives: Sequence[str]) -> str | None:
    """Returns in what the journal doesn't follow the records of a run that nobody writes, or `None`
    where a search can go on with it: it may lack what a killed search hadn't written there yet.
    """
    try:
        known = read_fitting_proposals(run.directory, run.manifest, run.trials)
    except RunError as error:
        return str(error).partition("; ")[0]
    last = max(run.trials, default=-1)
    trials = run.standings()
    for number, trial in known.items():
        record = trials.get(number)
        if record is None:
            waits = trial.state in (TrialState.RUNNING, TrialState.WAITING) and number > last
            if not waits and trial.state is not TrialState.FAIL:
                return f"it has another trial {number}"
        elif not _follows(trial, record, run, objectives):
            return f"it has other results of trial {number}"
    return None


def _follows(
    trial: FrozenTrial, record: TrialRecord, run: RunRecords, objectives: Sequence[str]
) -> bool:
    """Returns whether Optuna's trial has the results of the record, as far as it has any."""
    ended = trial.state.is_finished()
    if ended and record.state is Ended.RUNNING:
        return False
    if trial.state is TrialState.COMPLETE:
        found = values(record, objectives)
        if found is None or trial.values != list(found):
            return False
    reports = _reports(run, record.number, objectives)
    whole = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    seen = trial.intermediate_values
    return seen == reports if whole else seen.items() <= reports.items()


def _reports(run: RunRecords, number: int, objectives: Sequence[str]) -> dict[int, float]:
    """Returns a trial's values by epoch. With several objectives Optuna accepts none."""
    if len(objectives) > 1:
        return {}
    return {metrics.epoch: value_of(metrics) for metrics in run.epochs[number]}


def rebuild_journal(
    run: RunRecords,
    objectives: Sequence[str],
    express: Callable[[TrialRecord], ExpressedTrial | None],
) -> None:
    """Replaces the journal by one with all recorded trials and their epochs. The study adds their
    endings when it replays the records.

    express: returns a trial's parameters in the present space, or `None` where it has no place
        there.
    """
    journal(run.directory).unlink(missing_ok=True)
    storage = journal_storage(run.directory)
    study = open_optuna(storage, run.directory.name, None, objectives)
    for trial in _make_trials(run, objectives, express):
        # `Study.add_trial` would refuse a baseline's value outside of its range.
        storage.create_new_trial(study._study_id, trial)


def _make_trials(
    run: RunRecords,
    objectives: Sequence[str],
    express: Callable[[TrialRecord], ExpressedTrial | None],
) -> Iterator[FrozenTrial]:
    """Yields Optuna's trials in the order of their numbers. A number without a record belongs to a
    configuration that was proposed again, and that samplers learn nothing from.
    """
    for number in range(max(run.trials, default=-1) + 1):
        record = run.trials.get(number)
        here = express(record) if record and record.config else None
        known = record is not None and (here is not None or not record.config)
        yield FrozenTrial(
            number=number,
            trial_id=-1,
            state=TrialState.RUNNING if known else TrialState.FAIL,
            value=None,
            datetime_start=datetime.now(),  # noqa: DTZ005 - Optuna's own times have no zone
            datetime_complete=None if known else datetime.now(),  # noqa: DTZ005
            params=dict(here.params) if here else {},
            distributions=dict(here.distributions) if here else {},
            user_attrs={},
            system_attrs={},
            intermediate_values=_reports(run, number, objectives) if record else {},
        )


def renew_study(storage: BaseStorage, trials: Mapping[int, ExpressedTrial]) -> None:
    """Adds an Optuna study to a run's storage that takes the place of the last one, because Optuna
    accepts no other choices, and no other kind of distribution, for a parameter of the same study.

    The trials have the same numbers, values and states as before. Those in `trials` have these
    parameters, and the others have none. A storage without a study stays empty.
    """
    names = optuna.get_all_study_names(storage)
    if not names:
        return
    with quiet_optuna():
        before = optuna.load_study(study_name=names[-1], storage=storage)
        known = before.get_trials(deepcopy=False)
        study = optuna.create_study(
            storage=storage,
            study_name=f"{names[0]} (space {len(names) + 1})",
            directions=before.directions,
        )
    for trial in known:
        study.add_trial(_express(trial, trials.get(trial.number, ExpressedTrial({}, {}))))


def _express(trial: FrozenTrial, here: ExpressedTrial) -> FrozenTrial:
    """Returns a copy of a trial with other parameters. A COMPLETE or PRUNED trial without any is
    FAIL, so that samplers learn nothing from it.
    """
    evidence = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    lost = evidence and not here.params
    return FrozenTrial(
        number=trial.number,
        trial_id=-1,
        state=TrialState.FAIL if lost else trial.state,
        value=None,
        values=None if lost else trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=dict(here.params),
        distributions=dict(here.distributions),
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
    )
