"""Finds in what a space differs from the one that a run has recorded."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from results.analysis.rung_values import read_fitting_proposals
from results.analysis.searched_ranges import (
    Prior,
    SearchedRange,
    describe_range,
    read_priors,
    read_ranges,
)
from results.records import TrialRecord
from results.store import RunError
from search.planning.continuation import same_beginning
from search.space import SpaceError
from search.study.proposer import Proposer


def find_changes(
    digest: str,
    ranges: Sequence[SearchedRange],
    priors: Mapping[str, Prior],
    manifest: Mapping[str, Any],
    records: Mapping[int, TrialRecord],
    proposer: Proposer,
    begun: Path,
) -> Iterator[str]:
    """Yields a phrase for each way in which the space differs from that of the run: its baseline,
    its priors, its ranges, or the ranges that the run's trials met. Where the digests are equal, so
    are the ranges.

    digest, ranges: what random configurations of the space meet now.
    priors: what the run would go by now.
    manifest, records: what the run in `begun` holds.
    """
    first = [proposer.move_weights(each) for each in manifest.get("preview", [])[:1]]
    baseline = proposer.nearest(proposer.space.baseline.to_dict())[1]
    if first and not same_beginning(first, [baseline]):
        yield "its baseline is another one"
    yield from _compare_priors(read_priors(manifest), priors)
    before = manifest.get("searched")
    if before and before["digest"] != digest:
        known = [each for each in read_ranges(manifest) if not each.later]
        yield from _compare_ranges(known, ranges) or ["other trials meet the same ranges"]
        return
    since = int(before["since"]) if before else 0
    yield from _compare_trials(
        {number: each for number, each in records.items() if number >= since},
        proposer,
        _read_journal(begun, manifest, records),
    )


def _compare_priors(old: Mapping[str, Prior], new: Mapping[str, Prior]) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            was, is_now = (each.get(name, "none") for each in (old, new))
            yield f"the prior of {name} is {is_now} (it was {was})"


def _read_journal(
    begun: Path, manifest: Mapping[str, Any], records: Mapping[int, TrialRecord]
) -> Mapping[int, FrozenTrial]:
    """Returns the proposals in the run's journal, or none where it doesn't follow the records: then
    the search makes it anew, with the ranges of now, and prints a note.
    """
    try:
        return read_fitting_proposals(begun, manifest, records) if records else {}
    except RunError:
        return {}


def _compare_ranges(before: Sequence[SearchedRange], now: Sequence[SearchedRange]) -> list[str]:
    """Returns a phrase for each parameter whose ranges or their conditions differ."""
    phrases = []
    for name in dict.fromkeys(each.name for each in (*before, *now)):
        old, new = (
            sorted(each.describe() for each in ranges if each.name == name)
            for ranges in (before, now)
        )
        if old != new:
            phrases.append(
                f"{name} is {', and '.join(new) or 'not searched'} (it was "
                f"{', and '.join(old) or 'not searched'})"
            )
    return phrases


def _compare_trials(
    records: Mapping[int, TrialRecord], proposer: Proposer, trials: Mapping[int, FrozenTrial]
) -> list[str]:
    """Returns a phrase for each parameter that the space would ask a recorded trial for with
    another range than the one which the run's journal, of `trials`, holds.
    """
    phrases: dict[str, str] = {}
    for number in trials.keys() & {n for n, record in records.items() if record.params}:
        old = trials[number].distributions
        try:
            new = proposer.repeat(trials[number].params).distributions
        except SpaceError as error:
            return [f"it fails for the parameters of trial {number}: {error}"]
        for name in [*old, *new]:
            if old.get(name) != new.get(name):
                was, is_now = (
                    describe_range(each[name]) if name in each else "not searched"
                    for each in (old, new)
                )
                phrases.setdefault(name, f"{name} is {is_now} (it was {was} in trial {number})")
    return list(phrases.values())


def find_changed_files(files: Mapping[Path, str], before: Mapping[str, Any]) -> list[str]:
    """Returns the names of those files that differ from what the run recorded. A file that was
    renamed, but has the same content, doesn't differ.
    """
    if not before:
        return []
    known = {each["sha256"]: each["name"] for each in before["files"]}
    names = [path.name for path, sha in files.items() if sha not in known]
    gone = [name for sha, name in known.items() if sha not in files.values()]
    return list(dict.fromkeys([*names, *gone]))
