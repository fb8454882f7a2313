"""How many trials failed or broke off, and of what, counted for a search's end."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable

from results.records import TrialRecord, TrialState

SHOWN = 12
"""Kinds of failure that are named; further ones are counted."""


def count_failures(records: Collection[TrialRecord], errors: object) -> list[str]:
    """A few lines, the commonest kind first; none where no trial failed or was tried again.

    errors: where the tracebacks are.
    """
    told = []
    if failed := [record for record in records if record.state is TrialState.FAILED]:
        told.append(f"{len(failed)} of {len(records)} trials failed (tracebacks: {errors}):")
        told += _count_kinds(failed)
    if again := sum(r.retried is not None and r.state is not TrialState.FAILED for r in records):
        told.append(f"{again} of {len(records)} trials broke off once and went on.")
    return told


def _count_kinds(failed: Iterable[TrialRecord]) -> list[str]:
    kinds: defaultdict[str, list[TrialRecord]] = defaultdict(list)
    for record in failed:
        kinds[_kind_of_failure(record)].append(record)
    order = sorted(kinds.items(), key=lambda item: -len(item[1]))
    lines = [
        f"  {len(found):4d}  {kind}, as trial {found[0].number}: {found[0].detail or '?'}"
        for kind, found in order[:SHOWN]
    ]
    rest = sum(len(found) for _, found in order[SHOWN:])
    return lines + ([f"  {rest:4d}  of {len(order) - SHOWN} more kinds"] if rest else [])


def _kind_of_failure(record: TrialRecord) -> str:
    """A failure's reason, else its error's name, or its first sentence, which is often the same
    where numbers of processes and addresses follow.
    """
    if record.reason:
        return str(record.reason)
    first = re.split(r"[.:]\s", record.detail or "?")[0].rstrip(".")
    return first if " " in first else first.rpartition(".")[2]
