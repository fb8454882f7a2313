"""Counts the failures of trials by their kinds, for the summary of a search."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from results.records import TrialRecord, TrialState

SHOWN = 12
"""At most this many kinds of failure are named; the others are only counted."""


def count_failures(records: Collection[TrialRecord], errors: Path) -> list[str]:
    """Returns lines on the trials that failed, the commonest kind first, and on those that were
    tried again. The list is empty where there are none.

    errors: the folder of the tracebacks, which the lines name if it is there.
    """
    lines = []
    if failed := [record for record in records if record.state is TrialState.FAILED]:
        place = f" (tracebacks: {errors})" if errors.is_dir() else ""
        lines.append(f"{len(failed)} of {len(records)} trials failed{place}:")
        lines += _count_kinds(failed)
    if again := sum(r.retried is not None and r.state is not TrialState.FAILED for r in records):
        lines.append(f"{again} of {len(records)} trials broke off once and went on.")
    return lines


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
    """Returns a failure's reason. Without one, returns the name of the error or the first sentence
    of its message, because what follows often contains the number of a process or an address.
    """
    if record.reason:
        return str(record.reason)
    first = re.split(r"[.:]\s", record.detail or "?")[0].rstrip(".")
    return first if " " in first else first.rpartition(".")[2]
