"""What may change when a run goes on, as more trials or more epochs, and what may not."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.errors import UserError
from results.analysis.pareto import parse_objectives
from results.analysis.rung_values import read_proposals
from results.export import ranked
from results.store import read_manifest, read_standings
from search.config.options import SearchOptions
from search.early_stopping.asha import default_grace
from search.planning.warm_start import EarlierRun, best_of
from search.study.horizons import BASELINE_ORIGIN, Horizon, QueuedConfiguration, first_horizon
from search.study.proposer import Proposer
from trainables.config import ConfigError, TrialConfig

REPEATED = 3
"""The best configurations that are trained again to a greater length, beside the baseline.

The best after few epochs need not be the best after many, and its rank may be luck: so more than
one. Each is trained to its end, which costs as much as several new trials: so not many.
"""


class ContinuationError(UserError):
    """A run can't be extended as asked; the message names the rule, the value and the remedy."""


def same_beginning(saved: Sequence[Mapping[str, Any]], preview: Sequence[TrialConfig]) -> bool:
    """Whether a run's first configurations are still the space's.

    Compared as configurations: a field that the run doesn't know has its default. Epochs aside:
    horizons hold them, and may lie between the first configurations.
    """
    try:
        begun = [TrialConfig.from_record(values) for values in saved]
    except ConfigError:
        return False
    ours, theirs = ([config.filled().to_dict() for config in each] for each in (preview, begun))
    return [each | {"epochs": 0} for each in ours] == [each | {"epochs": 0} for each in theirs]


def more_trials(layers: Sequence[dict[str, Any]], saved: Mapping[str, Any] | None) -> list[str]:
    """Replaces `+N` trials in `layers` by the number that a saved run then has altogether.

    Returns one sentence for each that there is no run to add to.
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
    """A run's horizons as its manifest has them.

    Runs of older versions have none there: theirs is the one they were started with. `grace` is
    what they were asked for, or 0; `epochs` stand in where a run holds no configuration yet.
    """
    if "horizons" in manifest:
        return tuple(map(Horizon.from_json, manifest["horizons"]))
    begun = int(manifest["options"].get("epochs") or _first_epochs(manifest) or epochs)
    return (first_horizon(begun, grace or default_grace(begun), baseline),)


def _first_epochs(manifest: Mapping[str, Any]) -> int | None:
    """How long the run's first trial was to train."""
    preview = manifest.get("preview")
    return preview[0].get("epochs") if preview else None


def lengthen(
    horizons: tuple[Horizon, ...], epochs: int, grace: int, directory: Path
) -> tuple[Horizon, ...]:
    """The horizons with one more where `epochs` exceeds the last; its `grace` is the first rung.

    It begins with the baseline and the `REPEATED` best configurations of the run in `directory`.
    Raises `ContinuationError` for fewer epochs than before, `RunError` and `RecordError`.
    """
    last = horizons[-1]
    if epochs < last.epochs:
        raise ContinuationError(
            f"--epochs must be ≥ {last.epochs} when {directory.name} goes on, whose trials train "
            f"that long, but got {epochs}; leave it out, or start a new run."
        )
    if epochs == last.epochs:
        return horizons
    trials = read_standings(directory)
    if not trials:
        return (replace(last, epochs=epochs, grace=grace),)
    baseline = [each for each in last.queue if each.origin == BASELINE_ORIGIN]
    known = [each.params for each in baseline]
    best: list[QueuedConfiguration] = []
    for record in ranked(trials):
        if record.trusted and record.params not in known and len(best) < REPEATED:
            known.append(record.params)
            best.append(QueuedConfiguration(origin=f"trial {record.number}", params=record.params))
    queue = (*baseline, *best)
    # The journal may hold one more than the records, from the moment in which a search was killed.
    new = Horizon(
        first=len(read_proposals(directory)),
        epochs=epochs,
        grace=grace,
        queue=queue,
        proven=len(queue),
    )
    return (*horizons, new)


def raise_trials(options: SearchOptions, saved_trials: int, horizon: Horizon) -> SearchOptions:
    """The options, with as many trials as a new horizon's queue needs where nobody asked for more.

    Each number that a repeated proposal took before it leaves room for one more.
    Raises `ContinuationError` where a number was asked for that leaves out some of the queue.
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
    options: SearchOptions, proposer: Proposer, begun: Path | None, earlier: Sequence[EarlierRun]
) -> tuple[SearchOptions, tuple[Horizon, ...]]:
    """(options, horizons), in a run that has `begun` with room for what more epochs ask for."""
    baseline = proposer.baseline_params()
    usual = proposer.space.baseline.epochs
    if begun is None:
        epochs = options.epochs or usual
        grace = options.grace or default_grace(epochs)
        best = best_of(earlier, proposer, baseline)
        return options, (first_horizon(epochs, grace, baseline, best),)
    manifest = read_manifest(begun)
    before = saved_horizons(manifest, options.grace, usual, baseline)
    epochs = options.epochs or before[-1].epochs
    horizons = lengthen(before, epochs, options.grace or default_grace(epochs), begun)
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
    """Where the first configurations of a horizon come from, in words."""
    origins = [each.origin for each in horizon.queue]
    return (
        ", ".join("the baseline" if each == BASELINE_ORIGIN else each for each in origins)
        or "nothing"
    )
