"""Reads the records of a run as one set, whose files vouch for each other.

The manifest counts the lines of each file at the end of each session; what a killed session wrote
behind them counts too, and a lost end of it can't be noticed, except where another file proves that
there was more: a trial's ending holds the number of its epochs and the values after them.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from common.errors import RecordError
from common.files import read_json
from common.ownership import is_signed
from results.jsonl import Lines, chain_of, check_regular, read_content
from results.records import (
    EpochMetrics,
    FinalistRecord,
    ScreeningRecord,
    TrainingId,
    TrainingRecord,
    TrialRecord,
    TrialState,
)
from results.run_hints import restore_hint
from results.side_store import (
    FINALIST_FILES,
    SCREENING_FILES,
    SteeringRecord,
    read_steering,
    tried_by_hand,
)
from results.store import (
    CHAIN,
    EPOCHS,
    FINALIST_EPOCHS,
    FINALISTS,
    MAC,
    MANIFEST,
    SCREENING,
    SCREENING_EPOCHS,
    STEERING,
    TRIALS,
    read_epochs,
    read_manifest,
    read_trials,
    traceback_path,
)

K = TypeVar("K", bound=Hashable)

_STATES = (TRIALS, FINALISTS, SCREENING)
_EPOCHS = (EPOCHS, FINALIST_EPOCHS, SCREENING_EPOCHS)


@dataclass(frozen=True, kw_only=True)
class RunRecords:
    """Holds the records of a run as they were at one moment.

    `trials` has the latest record of every trial, and `finalists` that of every training of a
    finalist. `recorded` and `finalist_epochs` have the epochs in the order of recording, and
    `epochs` those of each trial, by number. `screening` and `screening_epochs` have the same of the
    screening's trainings, and `steering` what a user has changed while the search ran. `lines` has
    the number of lines of each file that has some.
    """

    directory: Path
    manifest: dict[str, Any]
    trials: dict[int, TrialRecord]
    recorded: list[tuple[int, EpochMetrics]]
    epochs: dict[int, list[EpochMetrics]]
    finalists: dict[TrainingId, FinalistRecord]
    finalist_epochs: list[tuple[TrainingId, EpochMetrics]]
    screening: dict[TrainingId, ScreeningRecord]
    screening_epochs: list[tuple[TrainingId, EpochMetrics]]
    steering: list[SteeringRecord]
    lines: Mapping[str, int]

    @property
    def unfinished(self) -> int:
        """Returns how many trainings haven't ended: trials, finalists' and short ones."""
        states = [record.state for record in self.trials.values()]
        states += [record.state for record in self.finalists.values()]
        states += [record.state for record in self.screening.values()]
        return states.count(TrialState.RUNNING)

    @property
    def training_s(self) -> float:
        """Returns the seconds of all epochs with their evaluation, added up over all workers."""
        kinds = (self.recorded, self.finalist_epochs, self.screening_epochs)
        return sum(metrics.wall_s for epochs in kinds for _, metrics in epochs)

    def standings(self) -> dict[int, TrialRecord]:
        """Returns the trials, with the records of unfinished ones, and those of older versions that
        lack the last epoch's accuracy, updated by their recorded epochs.
        """
        return {number: each.standing(self.epochs[number]) for number, each in self.trials.items()}

    def changes(self) -> list[tuple[str, str, str]]:
        """Returns (when, what a user has asked for, the search's answer) of each change by hand."""
        return [(f"{e.at}, session {e.session}", e.words, e.answer) for e in self.steering]

    def by_hand(self) -> set[int]:
        """Returns the numbers of the trials whose configuration a user has asked for."""
        return set(tried_by_hand(self.steering))

    def traceback(self, number: int) -> str | None:
        """Returns the errors of a trial that broke off, or `None` where it has none. Raises
        `RecordError` for anything but a file.
        """
        path = traceback_path(self.directory, TrainingId(number))
        if not check_regular(path, lambda: "move it away"):
            return None
        return path.read_text(encoding="utf-8", errors="replace")


def read_run_records(directory: Path) -> RunRecords:
    """Reads the records of a run, which another process may be writing.

    Raises `RunError` for a folder that isn't a run, and `RecordError` where a line is damaged, or
    where lines or whole files are missing, doubled, in another order, or those of another run.
    """
    manifest = read_manifest(directory)
    content = _read_snapshot(directory)
    lines = {
        name: Lines(each, chain_of(manifest.get(CHAIN), name)) for name, each in content.items()
    }
    trials = read_trials(directory, lines[TRIALS])
    recorded = list(read_epochs(directory, lines[EPOCHS]))
    finalists = FINALIST_FILES.read(directory, lines[FINALISTS])
    finalist_epochs = list(FINALIST_FILES.read_epochs(directory, lines[FINALIST_EPOCHS]))
    screening = SCREENING_FILES.read(directory, lines[SCREENING])
    screening_epochs = list(SCREENING_FILES.read_epochs(directory, lines[SCREENING_EPOCHS]))
    epochs = _group_epochs(directory, EPOCHS, TRIALS, trials, recorded)
    _group_epochs(directory, FINALIST_EPOCHS, FINALISTS, finalists, finalist_epochs)
    _group_epochs(directory, SCREENING_EPOCHS, SCREENING, screening, screening_epochs)
    for training in finalists:
        if training.number not in trials:
            raise _missing(directory, TRIALS, f"trial {training.number}", FINALISTS)
    return RunRecords(
        directory=directory,
        manifest=manifest,
        trials=trials,
        recorded=recorded,
        epochs=epochs,
        finalists=finalists,
        finalist_epochs=finalist_epochs,
        screening=screening,
        screening_epochs=screening_epochs,
        steering=read_steering(directory, lines[STEERING]),
        lines={name: len(each) for name, each in content.items() if each},
    )


def _read_snapshot(directory: Path) -> dict[str, list[bytes]]:
    """Returns the lines of each file at one moment.

    A search adds a trial before its epochs, and its ending behind them. Epochs that were read while
    no trial began or ended therefore fit the trials.
    """

    def read(names: Iterable[str]) -> dict[str, list[bytes]]:
        remedy = lambda: restore_hint(directory)  # noqa: E731
        return {name: read_content(directory / name, remedy) for name in names}

    states = read(_STATES)
    while True:
        epochs, before = read(_EPOCHS), states
        states = read(_STATES)
        if all(len(states[name]) == len(before[name]) for name in _STATES):
            return states | epochs | read((STEERING,))


def _group_epochs(
    directory: Path,
    epochs_file: str,
    states_file: str,
    states: Mapping[K, TrainingRecord],
    epochs: Sequence[tuple[K, EpochMetrics]],
) -> dict[K, list[EpochMetrics]]:
    """Returns the epochs of each training, after comparing the trainings in one file with their
    epochs in another one. Raises `RecordError`.
    """
    done: dict[K, list[EpochMetrics]] = {key: [] for key in states}
    for number, (key, metrics) in enumerate(epochs, 1):
        if key not in done:
            raise _missing(directory, states_file, _name(key), f"{epochs_file} line {number}")
        if metrics.epoch != len(done[key]) + 1:
            raise RecordError(
                f"{directory / epochs_file} line {number} must be epoch {len(done[key]) + 1} of "
                f"{_name(key)}, but is epoch {metrics.epoch}; {restore_hint(directory)}."
            )
        done[key].append(metrics)
    for key, record in states.items():
        if not _agrees(record, done[key]):
            raise RecordError(
                f"{directory / epochs_file} must have the {record.epochs} epochs of {_name(key)} "
                f"with which {states_file} ends it, but has {len(done[key])} or others; "
                f"{restore_hint(directory)}."
            )
    return done


def _agrees(record: TrainingRecord, epochs: Sequence[EpochMetrics]) -> bool:
    """Returns whether these are the epochs of a training by its own record."""
    if record.state is TrialState.RUNNING:
        return len(epochs) >= record.epochs
    last = record.last_val_top1 if isinstance(record, TrialRecord) else record.val_top1
    reached = epochs[-1].val_top1 if epochs else None
    return len(epochs) == record.epochs and last in (None, reached)


def _name(key: object) -> str:
    if not isinstance(key, TrainingId):
        return f"trial {key}"
    if key.screening:
        return f"training {key.number} of the screening"
    return f"repeat {key.repeat} of trial {key.number}"


def _missing(directory: Path, file: str, what: str, whose: str) -> RecordError:
    return RecordError(
        f"{directory / file} must have a line on {what}, which {whose} needs, but has none; "
        f"{restore_hint(directory)}."
    )


def is_own_run(directory: Path) -> bool:
    """Returns whether this user has signed the run's manifest. Raises `RunError` as `read_manifest`
    does.
    """
    manifest = read_manifest(directory)
    return is_signed(MANIFEST, manifest, read_json(directory / MANIFEST).get(MAC))
