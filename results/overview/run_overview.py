"""Sums up a run in a few values: what it searched, how it stands, what it found, what it cost."""

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import is_locked
from common.json_records import JsonRecord
from results.analysis.finalist_comparison import compare_finalists
from results.analysis.pareto import objectives_of
from results.analysis.ranking import baseline_of, choose_winner
from results.analysis.run_records import RunRecords, read_run_records
from results.analysis.session_times import sum_gpu_time, used_seconds
from results.overview.annotations import Annotations, read_annotations
from results.records import TrialRecord
from results.run_hints import RUN_FILE
from results.store import EPOCHS, FINALIST_EPOCHS, SCREENING_EPOCHS, TRIALS


class RunState(StrEnum):
    """Names the state of a run. `RUNNING`: a process is searching. `ENDED`: nothing of it is left
    to train. `INTERRUPTED`: it was stopped or killed, and can go on. `FAILED`: no trial succeeded.
    `DAMAGED`: its records can't be read, for example because they are another user's.
    """

    RUNNING = "running"
    ENDED = "ended"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOverview(JsonRecord):
    """Holds what is worth knowing of a run at a glance; `FIELDS` describes each value."""

    name: str
    directory: str
    state: RunState
    problem: str | None = None
    space: str | None = None
    dataset: str | None = None
    trials: int = 0
    planned: int | None = None
    best_trial: int | None = None
    best_val_top1: float | None = None
    baseline_val_top1: float | None = None
    training_s: float = 0.0
    clock_s: float = 0.0
    gpu_hours: float = 0.0
    began: str | None = None
    active: str | None = None
    note: str = ""
    tags: list[str] = field(default_factory=list)


FIELDS: Mapping[str, str] = {
    "name": "the name of the run's folder",
    "directory": "the path of the run's folder",
    "state": ", ".join(RunState),
    "problem": "why its records can't be read; null where they can",
    "space": "the searched space",
    "dataset": "the dataset's name",
    "trials": "how many trials have begun",
    "planned": "how many trials the search may begin; null where that isn't known",
    "best_trial": "the number of the best trial; null where none has succeeded",
    "best_val_top1": "the best trial's val_top1, a fraction: the latest epoch's, or the mean of "
    "its repeats where finalists decided",
    "baseline_val_top1": "the same of the baseline that the best trial is compared with",
    "training_s": "seconds of all trainings with their evaluation, added up over all workers",
    "clock_s": "seconds of all ended sessions on the clock",
    "gpu_hours": "for how many hours of one GPU the ended sessions held GPUs",
    "began": "when the first session began: ISO 8601, UTC",
    "active": "when a trial last began, ended or recorded an epoch: ISO 8601, UTC",
    "note": "the user's note; empty where there is none",
    "tags": "the user's tags, sorted",
}
"""These are the meanings of a `RunOverview`'s values, in its order; JSON has the same keys."""


def find_runs(folder: Path) -> list[Path]:
    """Returns the runs in `folder`, sorted by name, and the folders there that this user can't look
    into, which may be runs. Raises `OSError` where `folder` itself can't be read.
    """
    return sorted(path for path in folder.iterdir() if _may_be_run(path))


def _may_be_run(directory: Path) -> bool:
    try:
        return stat.S_ISREG((directory / RUN_FILE).stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def overview_of(directory: Path, records: RunRecords | None = None) -> RunOverview:
    """Returns what is worth knowing of a run. One that can't be read is `DAMAGED`, with the reason
    as its `problem`.

    records: those of the run, where they have been read.
    """
    name = directory.resolve().name
    place: dict[str, Any] = {"name": name, "directory": str(directory)}
    try:
        annotations, problem = read_annotations(directory), None
    except (UserError, OSError) as error:
        annotations, problem = Annotations(), str(error)
    said: dict[str, Any] = {"note": annotations.note, "tags": annotations.tags}
    try:
        found = _summarize(records or read_run_records(directory))
    except (UserError, OSError) as error:
        return RunOverview(state=RunState.DAMAGED, problem=str(error), **place, **said)
    return replace(found, problem=problem, **place, **said)


def _summarize(records: RunRecords) -> RunOverview:
    """Returns what a run's records say of it, without the user's note and tags."""
    manifest, trials = records.manifest, records.standings()
    sessions = manifest.get("sessions", [])
    best, top1, baseline = _result(records, trials)
    return RunOverview(
        name=str(manifest.get("name", records.directory.name)),
        directory=str(records.directory),
        state=_state(records, best),
        space=manifest.get("space"),
        dataset=manifest.get("dataset", {}).get("name"),
        trials=len(trials),
        planned=manifest.get("options", {}).get("trials"),
        best_trial=best.number if best else None,
        best_val_top1=top1,
        baseline_val_top1=baseline,
        training_s=round(records.training_s, 3),
        clock_s=round(used_seconds(sessions), 3),
        gpu_hours=round(sum_gpu_time(sessions, 0.0).held_s / 3600, 4),
        began=sessions[0].get("started") if sessions else None,
        active=_last_active(records.directory),
    )


def _result(
    records: RunRecords, trials: Mapping[int, TrialRecord]
) -> tuple[TrialRecord | None, float | None, float | None]:
    """Returns the best trial, its val_top1 and the baseline's, as best.yaml would have them."""
    outcome = compare_finalists(records.finalists.values())
    best = choose_winner(trials, objectives_of(records.manifest), outcome)
    if best is None:
        return None, None, None
    values = {number: each.last_val_top1 for number, each in trials.items()}
    if outcome is not None and outcome.winner is not None:
        values = {each.trial: each.top1.mean for each in outcome.standings if each.top1}
    return best, values.get(best.number), values.get(baseline_of(records.manifest, best.number))


def _state(records: RunRecords, best: TrialRecord | None) -> RunState:
    sessions = records.manifest.get("sessions", [])
    if is_locked(records.directory):
        return RunState.RUNNING
    if sessions and not sessions[-1].get("ended"):
        return RunState.INTERRUPTED
    # Sessions of older versions didn't record whether anything was left to train.
    if records.unfinished or (sessions and not sessions[-1].get("finished", True)):
        return RunState.INTERRUPTED
    return RunState.ENDED if best else RunState.FAILED


def _last_active(directory: Path) -> str | None:
    names = (TRIALS, EPOCHS, FINALIST_EPOCHS, SCREENING_EPOCHS)
    times = [path.stat().st_mtime for name in names if (path := directory / name).exists()]
    if not times:
        return None
    return datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds")
