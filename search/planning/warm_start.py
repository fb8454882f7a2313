"""Earlier runs as a beginning: their best configurations, and what their trials can teach.

Nothing here is read again when the run goes on: what is needed is in its own folder.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.export import ranked
from results.records import TrialRecord
from results.store import RunError, read_epochs, read_manifest, read_standings
from search.study.horizons import QueuedConfiguration
from search.study.optuna_patches import contains
from search.study.prior_trials import PriorTrial
from search.study.proposer import Proposer
from trainables.config import ConfigError, TrialConfig

ENQUEUED = 3
"""The best configurations of earlier runs that are tried after the baseline, one a run at least.

One alone may owe its rank to luck; and each takes the place of a trial that the sampler, which
learns from all of them, would choose.
"""

_FREE = ("epochs", "seed", "precision")
"""Fields in which a trial may differ from what could be proposed here and be evidence still."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierRun:
    """An earlier run: `fingerprint` of its images, its trials, and their val_top1 by epoch."""

    name: str
    fingerprint: str | None
    trials: Mapping[int, TrialRecord]
    values: Mapping[int, Mapping[int, float]]


def read_earlier_run(directory: Path) -> EarlierRun:
    """A run to begin with. Raises `RunError` and `RecordError`, also where it has no result."""
    manifest, trials = read_manifest(directory), read_standings(directory)
    values: dict[int, dict[int, float]] = {number: {} for number in trials}
    for number, metrics in read_epochs(directory):
        if metrics.val_top1 is not None:
            values.setdefault(number, {})[metrics.epoch] = metrics.val_top1
    if not any(record.trusted for record in ranked(trials)):
        raise RunError(
            f"--warm-start needs runs with a trained epoch, but {directory} has none; leave it out."
        )
    fingerprint = manifest.get("dataset", {}).get("fingerprint")
    name = str(directory.resolve().name)
    return EarlierRun(name=name, fingerprint=fingerprint, trials=trials, values=values)


def best_of(
    runs: Sequence[EarlierRun], proposer: Proposer, baseline: Mapping[str, Any]
) -> list[QueuedConfiguration]:
    """The best configurations of all runs as this search can try them, each run's in turn.

    Parameters that have no value there, or one outside of today's range, have the baseline's;
    those for which the baseline has none in its range are left to the sampler.
    What comes out as the baseline itself, or twice, is left out.
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
    """A run's trials, best first, in this search's parameters."""
    for record in ranked(run.trials):
        if record.trusted and (found := _here(record, proposer)):
            yield QueuedConfiguration(origin=_origin(run, record), params=found[0])


def useful_trials(
    run: EarlierRun, proposer: Proposer, fingerprint: str | None, epochs: int
) -> list[PriorTrial]:
    """What a run's trials tell of configurations that this search could propose.

    Only trials on the same images count (`fingerprint`), whose whole configuration could have
    been proposed here, seed and precision aside, and whose schedule was no longer than `epochs`.
    A shorter schedule ends lower, so this search's own trials soon outdo such a trial; one that
    is longer would stay ahead of them for good. Failed and diverged trials have no value.
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
    """(an earlier trial in this search's parameters, whether it is the very same configuration).

    `None` where it can't be: a field has gone, or what is fixed today doesn't go with it.
    """
    try:
        earlier = TrialConfig.from_record(record.config).filled()
        trial, config = proposer.nearest(earlier.to_dict())
    except ConfigError:
        return None
    ranges = trial.distributions
    params = {name: v for name, v in trial.params.items() if contains(ranges[name], v)}
    return params, _fields(config.filled()) == _fields(earlier)


def _fields(config: TrialConfig) -> dict[str, Any]:
    return {name: value for name, value in config.to_dict().items() if name not in _FREE}


def _origin(run: EarlierRun, record: TrialRecord) -> str:
    return f"trial {record.number} of {run.name}"


def manifest_entry(run: EarlierRun) -> dict[str, Any]:
    """What the manifest says of an earlier run."""
    return {"run": run.name, "fingerprint": run.fingerprint, "trials": len(run.trials)}


def describe_earlier_runs(
    run: EarlierRun, proposer: Proposer, fingerprint: str | None, epochs: int
) -> str:
    """How much of a run the sampler learns from; `fingerprint` is `None` while it isn't known."""
    if fingerprint is None:
        return f"from {run.name}, if its images turn out to be the same"
    if run.fingerprint != fingerprint:
        return f"nothing from {run.name}, whose images are others; only its best are tried"
    count, total = len(useful_trials(run, proposer, fingerprint, epochs)), len(run.trials)
    return f"from {count} of {total} trials of {run.name}, those that could be proposed here"
