"""Holds a run to the space that it began with: compares what the space searches now with what the
run has recorded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from common.files import file_sha256
from results.analysis.searched_ranges import Prior, SearchedRange, read_priors, read_ranges
from results.records import TrialRecord
from results.store import read_manifest, read_trials
from search.config.options import SearchOptions
from search.planning.continuation import ContinuationError
from search.planning.fixed_fields import find_other_baseline
from search.planning.space_changes import find_changed_files, find_changes
from search.planning.warm_start import express
from search.space import Space as Space
from search.space import SpaceError
from search.spaces import find_space, find_space_files, name_space
from search.study.optuna_journal import ExpressedTrial
from search.study.optuna_patches import contains
from search.study.proposer import Proposer
from search.study.searched_ranges import (
    PROBES,
    Probe,
    digest_of,
    find_incompatible,
    find_ranges,
    find_wrong_priors,
)

COPY = "space"
"""In a run directory, the folder of this name holds the copy of the space's files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchedSpace:
    """Holds what a run searches, as its manifest records it.

    digest: a checksum of the distributions that `probes` random configurations met.
    ranges: every range that is known, those that only trials met included.
    files: the sha256 of each of the space's files by its path, the space's own file first.
    weights: the path of the file of weights, or `None` where training starts from none.
    weights_sha256: the checksum of that file.
    since: the number of the first trial of this space; earlier ones belong to another space, which
        was changed knowingly.
    outside: the numbers of the earlier trials that this space can't propose.
    changed: whether the files differ from the run's copy, or there is no copy yet.
    renewed: whether the present session is the first one with changed ranges.
    notes: what the user should know of changes, a sentence each.
    priors: the beliefs of the space's author by parameter.
    """

    digest: str
    probes: int
    ranges: tuple[SearchedRange, ...]
    files: Mapping[Path, str]
    weights: str | None
    weights_sha256: str | None
    since: int = 0
    outside: frozenset[int] = frozenset()
    changed: bool = True
    renewed: bool = False
    notes: tuple[str, ...] = ()
    priors: Mapping[str, Prior] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the entry for the run's manifest."""
        return {
            "digest": self.digest,
            "probes": self.probes,
            "ranges": [each.to_json() for each in self.ranges],
            "files": [
                {"name": str(name), "sha256": self.files[path]}
                for path, name in place_files(self.files).items()
            ],
            "weights": self.weights,
            "weights_sha256": self.weights_sha256,
            "since": self.since,
            "priors": {name: asdict(each) for name, each in self.priors.items()},
        }


def place_files(files: Iterable[Path]) -> dict[Path, PurePosixPath]:
    """Returns where each of a space's files stands beside the first one, which is the space's own.
    A copy of the space keeps these places, so that its imports find them. A space that only a
    program holds has no files.
    """
    own = next(iter(files), Path())
    return {path: PurePosixPath(path.relative_to(own.parent).as_posix()) for path in files}


def space_option(space: object) -> Any:
    """Returns the value of the option `space` for what a program gives: for a `Space` the name or
    path by which it is found from now on, and anything else as it is.
    """
    return name_space(space) if isinstance(space, Space) else space


def find_space_of_run(options: SearchOptions, *, resuming: bool) -> Space:
    """Returns the space in the options. Raises `SpaceError`, which names the run's own copy where a
    run goes on whose space has gone.
    """
    try:
        return find_space(options.space)
    except SpaceError as error:
        file = Path(options.space).with_suffix(".py").name
        copy = _latest_copy(Path(options.out) / options.name) / file
        if not resuming or Path(options.space).exists() or not copy.is_file():
            raise
        raise SpaceError(f"{error} The run's copy is {copy}.") from error


def examine_space(
    space: str, proposer: Proposer, begun: Path | None, *, accept: bool
) -> SearchedSpace:
    """Returns what the space of this name or path searches in a new run, or in the run in `begun`,
    which goes on with changed ranges or priors only if the user says so by `accept`, and without a
    prior if it began without one.

    Raises `ContinuationError` where the run can't go on with this space or these weights,
    `SpaceError` for faulty ranges and priors of a new run, and for a baseline that isn't one of the
    space's configurations, and `RunError` and `RecordError` where the run can't be read.
    """
    manifest = read_manifest(begun) if begun else {}
    before = manifest.get("searched", {})
    drawn = proposer.probe(before.get("probes", PROBES))
    weights = str(proposer.fixed.get("weights", "none"))
    checksum = _weights_sha256(weights)
    now = SearchedSpace(
        digest=digest_of(drawn),
        probes=len(drawn),
        ranges=find_ranges(drawn),
        files={path: file_sha256(path) for path in find_space_files(space)},
        weights=weights if checksum else None,
        weights_sha256=checksum,
        priors=proposer.space.prior,
    )
    if begun is None:
        if errors := _find_new_errors(now, drawn, proposer):
            raise SpaceError(errors)
        return now
    _check_weights(now, manifest, proposer)
    records, since = read_trials(begun), int(before.get("since", 0))
    if later_prior := bool(now.priors) and not accept and not read_priors(manifest):
        now = replace(now, priors={})
    changes = list(
        find_changes(now.digest, now.ranges, now.priors, manifest, records, proposer, begun)
    )
    if changes and not accept:
        raise ContinuationError(
            f"A run must go on with the space it began with, but {space} has changed: "
            f"{'; '.join(changes)}. Restore it{_copy_hint(begun, before)}, begin a new run, or "
            "accept the change with --accept-space: then trials outside of the space are no "
            "evidence any more."
        )
    if changes:
        if errors := _find_errors(now, proposer):
            raise SpaceError(errors)
        since = max(records, default=-1) + 1
    outside = _find_outside({n: r for n, r in records.items() if n < since}, proposer)
    later = tuple(each for each in read_ranges(manifest) if each.later and not changes)
    files = find_changed_files(now.files, before)
    return replace(
        now,
        ranges=(*now.ranges, *later),
        since=since,
        outside=outside,
        changed=bool(files) or not before,
        renewed=bool(changes),
        notes=tuple(_notes(changes, files, outside, records, later_prior=later_prior)),
    )


def _find_new_errors(now: SearchedSpace, drawn: Sequence[Probe], proposer: Proposer) -> list[str]:
    """Returns one sentence for each fault of a space with which no run can begin; `drawn` are
    random configurations of it.
    """
    faults = dict.fromkeys(fault for each in drawn for fault in each.faults)
    wrong = [*proposer.baseline_errors(), *faults, *_find_errors(now, proposer)]
    return wrong or find_other_baseline(proposer.space)


def _find_errors(now: SearchedSpace, proposer: Proposer) -> list[str]:
    """Returns one sentence for each range and each prior that no search can use."""
    wrong = find_wrong_priors(now.priors, now.ranges, proposer.fixed)
    return [*find_incompatible(now.ranges), *wrong]


def _weights_sha256(weights: str) -> str | None:
    """Returns the checksum of a file of weights, or `None` where there is no such file; a missing
    file is reported elsewhere.
    """
    path = Path(weights)
    return file_sha256(path) if weights not in ("none", "imagenet") and path.is_file() else None


def _check_weights(now: SearchedSpace, manifest: Mapping[str, Any], proposer: Proposer) -> None:
    """Raises `ContinuationError` where a run's file of weights has another content than when it
    began. Where an older version recorded no checksum, only a file that moved is compared.
    """
    recorded = str((manifest.get("preview") or [{}])[0].get("weights", "none"))
    path = str(proposer.fixed.get("weights", "none"))
    if now.weights_sha256 is None or recorded in ("none", "imagenet"):
        return
    begun = manifest.get("searched", {}).get("weights_sha256")
    begun = begun or (now.weights_sha256 if path == recorded else _weights_sha256(recorded))
    if begun != now.weights_sha256:
        why = "has another content" if begun else "can't be compared with it, since it is gone"
        raise ContinuationError(
            f"--weights must name the weights that the run began with, those of {recorded}, but "
            f"{path} {why}; restore the file, or begin a new run."
        )


def find_present(record: TrialRecord, proposer: Proposer) -> ExpressedTrial | None:
    """Returns the parameters of a recorded trial in the present space, or `None` where this space
    can't propose the trial's configuration.

    The number of images at once counts as it was proposed, because a trial that ran out of memory
    continues with fewer.
    """
    fixed = {"micro_batch_size": proposer.space.baseline.micro_batch_size} | dict(proposer.fixed)
    at_once = record.params.get("micro_batch_size", fixed["micro_batch_size"])
    config = proposer.move_weights(record.config) | {"micro_batch_size": at_once}
    found = express(replace(record, config=config), proposer) if record.config else None
    return found[0] if found and found[1] else None


def _find_outside(records: Mapping[int, TrialRecord], proposer: Proposer) -> frozenset[int]:
    """Returns the numbers of those trials that the present space can't propose."""
    return frozenset(
        number
        for number, record in records.items()
        if record.config and find_present(record, proposer) is None
    )


def lies_inside(params: Mapping[str, Any], proposer: Proposer) -> bool:
    """Returns whether the space asks for all of these parameters, with ranges that hold them."""
    try:
        ranges = proposer.repeat(params).distributions
    except SpaceError:
        return False
    return all(name in ranges and contains(ranges[name], v) for name, v in params.items())


def _copy_hint(begun: Path, before: Mapping[str, Any]) -> str:
    return f" ({_latest_copy(begun)} holds a copy)" if before else ""


def _latest_copy(directory: Path) -> Path:
    """Returns the folder in a run that holds the space's files as the last session found them."""
    later = (directory / COPY).glob("session-*")
    first = directory / COPY
    return max(later, key=lambda path: int(path.name.partition("-")[2]), default=first)


def _notes(
    changes: Sequence[str],
    files: Sequence[str],
    outside: frozenset[int],
    records: Mapping[int, TrialRecord],
    *,
    later_prior: bool,
) -> Iterator[str]:
    if changes:
        yield f"the space has changed, as accepted: {'; '.join(changes)}"
    elif files:
        changed = "has changed" if len(files) == 1 else "have changed"
        yield f"{', '.join(files)} {changed} since the run began, but the ranges are the same"
    if later_prior:
        yield "the space has got a prior since the run began, which goes on without it"
    if outside:
        yield (
            f"{len(outside)} of {len(records)} trials lie outside of the space as it is now, and "
            "the sampler doesn't learn from them"
        )
