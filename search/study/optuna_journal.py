"""Opens the journal of a run's Optuna study, and seals it, so that damage is noticed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from results.analysis.rung_values import JOURNAL, quiet_optuna
from results.jsonl import cut_torn_line


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
