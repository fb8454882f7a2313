"""Starts a search from earlier runs: from their best configurations, and from what the sampler can
learn from their trials.

A resumed run doesn't read the earlier runs again, because its own folder contains what it needs of
them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.analysis.ranking import rank_trials
from results.analysis.run_records import read_run_records
from results.records import TrialRecord
from results.store import RunError
from search.study.horizons import QueuedConfiguration
from search.study.optuna_journal import ExpressedTrial
from search.study.optuna_patches import contains
from search.study.prior_trials import PriorTrial
from search.study.proposer import Proposer
from trainables.config import ConfigError, TrialConfig

ENQUEUED = 3
"""This many of the best configurations of earlier runs are tried after the baseline, and at least
one of each run.

A single one may owe its rank to luck. But each one takes the place of a trial that the sampler,
which learns from all of them, would choose.
"""

_FREE = ("epochs", "seed", "precision", "deterministic")
"""An earlier trial may differ in these fields from what this search could propose
and still be evidence.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierRun:
    """Holds an earlier run: the `fingerprint` of its images, its trials, and their val_top1 by
    trial number and epoch.
    """

    name: str
    fingerprint: str | None
    trials: Mapping[int, TrialRecord]
    values: Mapping[int, Mapping[int, float]]


def read_earlier_run(directory: Path) -> EarlierRun:
    """Reads a run for a warm start. Raises `RunError` and `RecordError` where the run can't be read
    or has no result.
    """
    records = read_run_records(directory)
    trials = records.standings()
    values: dict[int, dict[int, float]] = {number: {} for number in trials}
    for number, metrics in records.recorded:
        if metrics.val_top1 is not None:
            values[number][metrics.epoch] = metrics.val_top1
    if not any(record.trusted for record in rank_trials(trials.values())):
        raise RunError(
            f"--warm-start needs runs with a trained epoch, but {directory} has none; leave it out."
        )
    fingerprint = records.manifest.get("dataset", {}).get("fingerprint")
    name = str(directory.resolve().name)
    return EarlierRun(name=name, fingerprint=fingerprint, trials=trials, values=values)


def best_of(
    runs: Sequence[EarlierRun], proposer: Proposer, baseline: Mapping[str, Any]
) -> list[QueuedConfiguration]:
    """Returns the best configurations of all runs as this search can try them, taking the next best
    of each run in turn.

    A parameter that has no value in the earlier run, or one outside of its present range, gets the
    baseline's value. Where the baseline has no value in the range either, the sampler chooses. A
    configuration that equals the baseline or an earlier one in the list is left out.
    """
    lines = [_candidates(run, proposer) for run in runs]
    known, best = [dict(baseline)], list[QueuedConfiguration]()
    while lines and len(best) < max(ENQUEUED, len(runs)):
        for line in list(lines):
            queued = next((each for each in line if each.params not in known), None)
            if queued is None:
                lines.remove(line)
            elif len(best) < max(ENQUEUED, len(runs)):
                known.append(dict(queued.params))
                best.append(queued)
    return best


def _candidates(run: EarlierRun, proposer: Proposer) -> Iterator[QueuedConfiguration]:
    """Yields a run's trials, best first, as configurations of this search."""
    for record in rank_trials(run.trials.values()):
        if record.trusted and (found := _here(record, proposer)):
            yield QueuedConfiguration(origin=_origin(run, record), params=found[0])


def useful_trials(
    run: EarlierRun, proposer: Proposer, fingerprint: str | None, epochs: int
) -> list[PriorTrial]:
    """Returns the trials of a run that the sampler can learn from.

    A trial counts if it saw the same images (`fingerprint`), if this search could propose its whole
    configuration apart from seed and precision, and if its schedule was no longer than `epochs`. A
    trial with a shorter schedule ends at a lower accuracy, so that this search's own trials soon
    surpass it; one with a longer schedule would stay ahead of them for good. Failed and diverged
    trials have no value and don't count.
    """
    if fingerprint is None or run.fingerprint != fingerprint:
        return []
    found = []
    for number, record in run.trials.items():
        here = _here(record, proposer) if record.trusted and run.values[number] else None
        length = int(record.config.get("epochs", 0))
        if here and here[1] and 0 < length <= epochs:
            found.append(
                PriorTrial(
                    origin=_origin(run, record),
                    params=here[0],
                    values=run.values[number],
                    epochs=length,
                )
            )
    return found


def _here(record: TrialRecord, proposer: Proposer) -> tuple[dict[str, Any], bool] | None:
    """Returns an earlier trial's parameters in this search, and whether they give exactly the same
    configuration.

    Returns `None` where the trial can't be expressed in this search: a field no longer exists, or
    the trial conflicts with a field that this search fixes.
    """
    found = express(record, proposer)
    return found and (dict(found[0].params), found[1])


def express(record: TrialRecord, proposer: Proposer) -> tuple[ExpressedTrial, bool] | None:
    """Returns an earlier trial as `_here` does, with the distributions of its parameters."""
    try:
        earlier = TrialConfig.from_record(record.config).with_defaults()
        trial, config = proposer.nearest(earlier.to_dict())
    except ConfigError:
        return None
    ranges = trial.distributions
    params = {name: v for name, v in trial.params.items() if contains(ranges[name], v)}
    here = ExpressedTrial(params, {name: ranges[name] for name in params})
    return here, _fields(config.with_defaults()) == _fields(earlier)


def _fields(config: TrialConfig) -> dict[str, Any]:
    return {name: value for name, value in config.to_dict().items() if name not in _FREE}


def _origin(run: EarlierRun, record: TrialRecord) -> str:
    return f"trial {record.number} of {run.name}"


def manifest_entry(run: EarlierRun) -> dict[str, Any]:
    """Returns the entry for an earlier run in the manifest."""
    return {"run": run.name, "fingerprint": run.fingerprint, "trials": len(run.trials)}


def describe_earlier_runs(
    run: EarlierRun, proposer: Proposer, fingerprint: str | None, epochs: int
) -> str:
    """Returns a phrase on how much the sampler learns from a run. `fingerprint` is `None` while
    that of this search's images isn't known.
    """
    if fingerprint is None:
        return f"from {run.name}, if its images turn out to be the same"
    if run.fingerprint != fingerprint:
        return f"nothing from {run.name}, whose images differ; only its best are tried"
    count, total = len(useful_trials(run, proposer, fingerprint, epochs)), len(run.trials)
    return f"from {count} of {total} trials of {run.name}, those that could be proposed here"
