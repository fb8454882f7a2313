"""Where a study keeps what it sees: a run directory, or memory alone for a simulated search.

A study needs two things: a `Store` for its records, which are the truth, and an Optuna storage,
which follows them.
"""

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from results.analysis.pareto import OBJECTIVES
from results.analysis.rung_values import JOURNAL, check_params, damaged
from results.records import EpochMetrics, TrialRecord
from results.store import RunError, cut_torn_line
from search.study.proposer import quiet_optuna


class Store(Protocol):
    """A study's records. `results.store.RunStore` keeps them on disk, `MemoryStore` doesn't."""

    @property
    def name(self) -> str:
        """What the study is called."""

    def trials(self) -> dict[int, TrialRecord]:
        """Every trial's latest record, by number, in the order in which they began."""

    def epochs(self) -> Iterable[tuple[int, EpochMetrics]]:
        """(trial number, metrics) of every recorded epoch, in order."""

    def add_epoch(self, trial: int, metrics: EpochMetrics) -> None:
        """Keeps one epoch."""

    def add_trial(self, record: TrialRecord) -> None:
        """Keeps a trial's new state."""

    def add_error(self, trial: int, text: str) -> object:
        """Keeps the whole traceback of a trial that broke off, beside those it has."""

    def drop_checkpoint(self, trial: int) -> None:
        """Removes the checkpoint of a trial that has ended, if there is one."""


class MemoryStore:
    """A store that begins empty and is never read again: the study itself holds all it needs."""

    name = "simulated"

    def trials(self) -> dict[int, TrialRecord]:
        return {}

    def epochs(self) -> Iterable[tuple[int, EpochMetrics]]:
        return ()

    def add_epoch(self, trial: int, metrics: EpochMetrics) -> None:
        """Nothing is kept."""

    def add_trial(self, record: TrialRecord) -> None:
        """Nothing is kept."""

    def add_error(self, trial: int, text: str) -> None:
        """Nothing is kept."""

    def drop_checkpoint(self, trial: int) -> None:
        """There are none."""


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
        raise damaged(path, f"{type(error).__name__}: {error}") from error


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
            raise damaged(path, "it isn't as it was written")
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
