"""Decides what may change when a run is resumed, such as more trials or more epochs, and what may
not.
"""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.errors import UserError
from results.analysis.pareto import parse_objectives
from results.analysis.ranking import rank_trials
from results.analysis.run_records import read_run_records
from results.analysis.rung_values import read_fitting_proposals
from results.side_store import tried_by_hand
from results.store import RunError, read_manifest
from search.config.options import SearchOptions
from search.early_stopping.asha import default_grace
from search.planning.warm_start import EarlierRun, best_of
from search.study.horizons import BASELINE_ORIGIN, Horizon, QueuedConfiguration, first_horizon
from search.study.proposer import Proposer
from trainables.config import ConfigError, TrialConfig

REPEATED = 3
"""This many of the best configurations are trained again when a run is extended to more epochs, in
addition to the baseline.

The best configuration after few epochs need not be the best after many, and its rank may be luck,
which is why there are several. Each of them is trained to its last epoch and costs as much as
several new trials, which is why there are few.
"""


class ContinuationError(UserError):
    """Reports a run that can't be extended as requested. The message names the rule, the value and
    the remedy.
    """


def same_beginning(saved: Sequence[Mapping[str, Any]], preview: Sequence[TrialConfig]) -> bool:
    """Returns whether the first configurations saved with a run are still those that the space
    gives.

    They are compared as configurations, where a field that the run doesn't know has its default.
    Epochs are ignored, because they belong to horizons, which may change between the first
    configurations.
    """
    try:
        begun = [TrialConfig.from_record(values) for values in saved]
    except ConfigError:
        return False
    ours, theirs = (
        [config.with_defaults().to_dict() | {"epochs": 0} for config in each]
        for each in (preview, begun)
    )
    return ours == theirs


def more_trials(layers: Sequence[dict[str, Any]], saved: Mapping[str, Any] | None) -> list[str]:
    """Replaces a value `+N` of the option `trials` in `layers` by the total number that a saved run
    then has.

    Returns one sentence for each `+N` without a run to add to.
    """
    errors = []
    for layer in layers:
        found = re.fullmatch(r"\+(\d+)", str(layer.get("trials")))
        if found and saved is not None:
            layer["trials"] = int(saved.get("trials", SearchOptions().trials)) + int(found[1])
        elif found:
            errors.append(
                f"--trials must be a number without a sign for a new run, but got "
                f"'{layer.pop('trials')}'; +N goes with --resume."
            )
    return errors


def saved_horizons(
    manifest: Mapping[str, Any], grace: int, epochs: int, baseline: dict[str, Any]
) -> tuple[Horizon, ...]:
    """Returns a run's horizons from its manifest.

    Manifests of older versions contain no horizons; such a run has a single one, built from these
    values:

    grace: the first rung that the run was asked for, in epochs, or 0 for the default.
    epochs: the length of a training where the manifest doesn't contain a configuration yet.
    baseline: the parameters of the first trial.
    """
    if "horizons" in manifest:
        return tuple(map(Horizon.from_json, manifest["horizons"]))
    first = (manifest.get("preview") or [{}])[0]
    begun = int(manifest["options"].get("epochs") or first.get("epochs") or epochs)
    return (first_horizon(begun, grace or default_grace(begun), baseline),)


def lengthen(
    horizons: tuple[Horizon, ...],
    epochs: int,
    grace: int,
    directory: Path,
    outside: Container[int] = (),
    present: Mapping[str, Any] | None = None,
) -> tuple[Horizon, ...]:
    """Returns the horizons, and one more if `epochs` exceeds the last one's; its first rung is at
    `grace` epochs. Where the run has no trial yet, its last horizon is lengthened instead.

    The new horizon begins, behind all trials that a user has asked for, with the baseline and the
    `REPEATED` best configurations of the run in `directory`, without those whose numbers are in
    `outside`, because the space can't propose them any more; in place of such a baseline it has the
    parameters `present`. Raises `ContinuationError` for fewer epochs than before, and `RunError`
    and `RecordError` where the run can't be read.
    """
    last = horizons[-1]
    if epochs < last.epochs:
        raise ContinuationError(
            f"--epochs must be ≥ {last.epochs} when {directory.name} goes on, whose trials train "
            f"that long, but got {epochs}; leave it out, or start a new run."
        )
    if epochs == last.epochs:
        return horizons
    records = read_run_records(directory)
    trials = records.standings()
    if not trials:
        return (replace(last, epochs=epochs, grace=grace),)
    baseline = [each for each in last.queue if each.origin == BASELINE_ORIGIN]
    if last.first in outside and present is not None:
        baseline = [replace(each, params=present) for each in baseline]
    known = [each.params for each in baseline]
    best: list[QueuedConfiguration] = []
    for record in rank_trials(trials.values()):
        new = record.params not in known and record.number not in outside
        if record.trusted and new and len(best) < REPEATED:
            known.append(record.params)
            best.append(QueuedConfiguration(origin=f"trial {record.number}", params=record.params))
    queue = (*baseline, *best)
    # If a search was killed while it started a trial, the journal has one trial more than the
    # records, whose number must not be given to another. One that doesn't fit is made anew.
    try:
        first = len(read_fitting_proposals(directory, records.manifest, trials))
    except RunError:
        first = max(trials) + 1
    # What a user has asked for keeps its number and the length of the trials before it.
    first = max(first, max(tried_by_hand(records.steering), default=-1) + 1)
    longer = Horizon(
        first=first,
        epochs=epochs,
        grace=grace,
        queue=queue,
        proven=len(queue),
    )
    return (*horizons, longer)


def raise_trials(options: SearchOptions, saved_trials: int, horizon: Horizon) -> SearchOptions:
    """Returns the options, with `trials` raised to what the new horizon's queue needs unless the
    user asked for another number.

    The number of trials includes repeated proposals, which aren't trained, so that each of these
    leaves room for one further trial. Raises `ContinuationError` where the user's number is too
    small for the whole queue.
    """
    least = horizon.first + len(horizon.queue)
    if options.trials >= least:
        return options
    if options.trials == saved_trials:
        return replace(options, trials=least)
    raise ContinuationError(
        f"--trials must be ≥ {least} to train {describe_queue(horizon)} to {horizon.epochs} "
        f"epochs, but got {options.trials}; raise it, or leave it out."
    )


def planned_horizons(
    options: SearchOptions,
    proposer: Proposer,
    begun: Path | None,
    earlier: Sequence[EarlierRun],
    outside: Container[int] = (),
) -> tuple[SearchOptions, tuple[Horizon, ...]]:
    """Returns the options and the horizons of a new run, or of the run in `begun`.

    Where a run is extended to more epochs, the returned options allow as many trials as its new
    horizon needs. `earlier` are the runs that a new run is warm-started from, and `outside` has the
    numbers of those trials that the space can't propose any more. Raises what `lengthen` and
    `raise_trials` raise.
    """
    baseline = proposer.baseline_params()
    usual = proposer.space.baseline.epochs
    if begun is None:
        epochs = options.epochs or usual
        grace = options.grace or default_grace(epochs)
        best = best_of(earlier, proposer, baseline)
        believed = None if earlier else proposer.believed_params()
        return options, (first_horizon(epochs, grace, baseline, believed, best),)
    manifest = read_manifest(begun)
    before = saved_horizons(manifest, options.grace, usual, baseline)
    epochs = options.epochs or before[-1].epochs
    grace = options.grace or default_grace(epochs)
    horizons = lengthen(before, epochs, grace, begun, outside, baseline)
    if len(horizons) > len(before):
        if len(parse_objectives(options.objectives)) > 1:
            raise ContinuationError(
                f"--epochs must be {before[-1].epochs} when {begun.name} goes on, whose "
                f"--objectives compare trials of one length, but got {epochs}; leave it out, or "
                "start a new run."
            )
        saved = int(manifest["options"].get("trials", options.trials))
        options = raise_trials(options, saved, horizons[-1])
    return options, horizons


def describe_queue(horizon: Horizon) -> str:
    """Returns the origins of a horizon's first configurations in words."""
    origins = [each.origin for each in horizon.queue]
    return (
        ", ".join("the baseline" if each == BASELINE_ORIGIN else each for each in origins)
        or "nothing"
    )
