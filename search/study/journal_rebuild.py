"""Makes a run's Optuna journal anew from its records, where it doesn't follow them.

The records are the truth. A search that goes on with such a journal proposes and decides as if
nothing had happened to the old one.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from results.analysis.pareto import values
from results.analysis.run_records import RunRecords
from results.analysis.rung_values import read_fitting_proposals
from results.records import TrialRecord
from results.records import TrialState as Ended
from results.store import RunError
from search.samplers.learning_curves import value_of
from search.study.optuna_journal import ExpressedTrial, journal, journal_storage
from search.study.optuna_mirror import open_optuna


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
