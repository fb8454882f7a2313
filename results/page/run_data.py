"""Reads everything that a page shows of a run, once."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from common.cli import quote_command
from common.files import is_locked
from results.analysis.final_run import RECORD, read_record, read_sibling_records
from results.analysis.finalist_comparison import Outcome, compare_finalists
from results.analysis.intervals import Interval, interval_of_repeats
from results.analysis.machine_use import MachineUse, read_machine_use
from results.analysis.pareto import objectives_of
from results.analysis.ranking import baseline_of, choose_winner
from results.analysis.run_records import RunRecords, read_run_records
from results.analysis.rung_values import JOURNAL, read_fitting_proposals
from results.analysis.session_times import used_seconds
from results.export import describe_best
from results.records import (
    EpochMetrics,
    FinalistRecord,
    ScreeningRecord,
    TrainingId,
    TrialRecord,
)
from results.run_hints import resume_command
from results.store import RunError


@dataclass(frozen=True, kw_only=True, slots=True)
class Final:
    """Holds a final training of one trial's configuration, as its `final.json` records it.

    `over_seeds` is the interval of the mean test_top1 over that many `seeds`, or `None` for a
    single seed.
    """

    test_top1: float
    test_top1_flip: float | None
    test_images: int
    epochs: int
    wall_s: float
    seeds: int
    over_seeds: Interval | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Holds a run as it stands on disk.

    `recorded` lists (trial number, epoch) in the order of recording, and `epochs` has the same by
    trial. `best` is the content of best.yaml, and `winner` its trial; both are `None` while no
    trial has succeeded. `ranges` has the parameters' ranges in the order in which the space asks
    for them, and is empty where there is no journal. `finals` has the final trainings by trial,
    `by_hand` the numbers of trials that a user has asked for, and `changes` what a user has changed
    while the search ran: (when, what was asked for, the answer).
    """

    directory: Path
    manifest: Mapping[str, Any]
    trials: Mapping[int, TrialRecord]
    recorded: list[tuple[int, EpochMetrics]]
    epochs: Mapping[int, list[EpochMetrics]]
    finalists: Mapping[TrainingId, FinalistRecord]
    finalist_epochs: list[EpochMetrics]
    screening: Mapping[TrainingId, ScreeningRecord]
    screening_epochs: list[EpochMetrics]
    machine_use: list[tuple[float, MachineUse]]
    unfinished: int
    training_s: float
    outcome: Outcome | None
    best: Mapping[str, Any] | None
    ranges: Mapping[str, BaseDistribution]
    finals: Mapping[int, Final]
    running: bool = False
    by_hand: Collection[int] = ()
    changes: Sequence[tuple[str, str, str]] = ()

    @property
    def name(self) -> str:
        """Returns the name of the run."""
        return str(self.manifest["name"])

    @property
    def objectives(self) -> tuple[str, ...]:
        """Returns the objectives by which the search compared trials."""
        return objectives_of(self.manifest)

    @property
    def winner(self) -> TrialRecord | None:
        """Returns the trial with the best configuration, or `None` where there is none."""
        return self.trials[self.best["trial"]] if self.best else None

    def require_best(self) -> tuple[Mapping[str, Any], TrialRecord]:
        """Returns the content of best.yaml and its trial. Raises `RunError` where no trial has
        succeeded.
        """
        if self.best is None or self.winner is None:
            page = quote_command("python -m results.report", self.directory)
            raise RunError(
                f"{self.directory} has no best trial to compare: none has succeeded; leave it out, "
                f"and see why on its page (`{page}`)."
            )
        return self.best, self.winner

    @property
    def baseline(self) -> TrialRecord | None:
        """Returns the baseline that was planned with as many epochs as the winner, or as the last
        trial where there is no winner. Returns `None` where it has no finished epoch.
        """
        like = self.winner.number if self.winner else max(self.trials)
        found = self.trials.get(baseline_of(self.manifest, like))
        return found if found and found.epochs else None

    @property
    def resume(self) -> str:
        """Returns the command that goes on with a search that was cut short. The text is empty for
        one that is running, or that has ended.
        """
        sessions = self.manifest.get("sessions", ())
        ended = not sessions or sessions[-1].get("finished", True)
        if self.running or (ended and not self.unfinished):
            return ""
        return resume_command(self.directory)

    @property
    def clock_s(self) -> float:
        """Returns the seconds that all ended sessions took, without the time between them."""
        return used_seconds(self.manifest.get("sessions", ()))


def read_run(directory: Path) -> Run:
    """Reads a run, which another process may be writing.

    Raises `RunError` and `RecordError` when the run can't be read or has no trial.
    """
    records = read_run_records(directory)
    if not records.trials:
        raise RunError(
            f"{directory} has no trial yet; let it run longer, or go on with it by "
            f"`{resume_command(directory)}`."
        )
    manifest, trials, finalists = records.manifest, records.standings(), records.finalists
    outcome = compare_finalists(finalists.values())
    succeeded = choose_winner(trials, objectives_of(manifest), outcome) is not None
    return Run(
        directory=directory,
        manifest=manifest,
        trials=trials,
        recorded=records.recorded,
        epochs=records.epochs,
        finalists=finalists,
        finalist_epochs=[metrics for _, metrics in records.finalist_epochs],
        screening=records.screening,
        screening_epochs=[metrics for _, metrics in records.screening_epochs],
        machine_use=read_machine_use(directory),
        unfinished=records.unfinished,
        training_s=records.training_s,
        outcome=outcome,
        best=describe_best(directory, manifest, trials, finalists.values()) if succeeded else None,
        ranges=_ranges(records),
        finals=dict(_finals(directory)),
        running=is_locked(directory),
        by_hand=records.by_hand(),
        changes=records.changes(),
    )


def _ranges(records: RunRecords) -> dict[str, BaseDistribution]:
    """Returns the ranges of all trials' parameters, because a single trial may lack parameters that
    depend on another one's value. The mapping is empty where there is no journal.

    Raises `RunError` for a damaged one.
    """
    if not (records.directory / JOURNAL).exists():
        return {}
    trials = read_fitting_proposals(records.directory, records.manifest, records.trials).values()
    return {name: each for trial in trials for name, each in trial.distributions.items()}


def _finals(directory: Path) -> Iterator[tuple[int, Final]]:
    """Yields (trial number, final training) for every folder in the run that holds one. The usual
    folder, `final/`, comes last and so replaces others of the same trial.

    A file that can't be read is skipped, because it is no part of the search's records.
    """
    paths = sorted(directory.glob(f"*/{RECORD}"), key=lambda path: path.parent.name == "final")
    for path in paths:
        try:
            record = read_record(path)
            tests = [
                record.test_top1,
                *(o.test_top1 for o in read_sibling_records(path.parent, record)),
            ]
            final = Final(
                test_top1=record.test_top1,
                test_top1_flip=record.test_top1_flip,
                test_images=record.test_images,
                epochs=int(record.config["epochs"]),
                wall_s=record.wall_s,
                seeds=len(tests),
                over_seeds=interval_of_repeats(tests),
            )
            yield int(record.provenance["selection"]["trial"]), final
        except (ValueError, KeyError, TypeError):
            continue
