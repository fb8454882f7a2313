"""Compares finalists by their means over repeats, and decides whether the best one beats the
baseline beyond noise.

The intervals are Student's t intervals, because repeats are few. They cover the effect of another
seed but not that of other val images, since the split is the same throughout. Each is a 95 %
interval for itself. The winner is chosen among several finalists, so its lead is slightly
overestimated: if none is better than the baseline, one of 3 finalists still «beats» it in 5 of 100
searches, one of 5 in 7, and a single one in 2.5 (simulated, 3 repeats of normal noise, 200,000
searches each).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from results.analysis.intervals import FEWEST_REPEATS, Interval, interval_of_repeats
from results.records import FinalistRecord, TrialState

BASELINE = 0
"""The baseline of a search is trial 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Holds the results of one finalist: `values` are val_top1 after each repeat, with `None` for a
    repeat that failed or diverged.

    `top1` is the interval of the successful repeats' mean. `lead` is the interval of the mean
    difference from the baseline, in pairs of the same repeat; the baseline has no lead. Both are
    `None` where fewer than two values exist.
    """

    trial: int
    values: tuple[float | None, ...]
    top1: Interval | None
    lead: Interval | None

    @property
    def sound(self) -> bool:
        """Returns whether every repeat was successful."""
        return None not in self.values


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Holds the comparison of all finalists, each trained for `epochs` epochs. `standings` begins
    with the best one.

    `seeds` are those of the repeats that all finalists have ended; only these repeats are compared.
    `planned` is the number of repeats that the search was asked for.
    """

    standings: tuple[Standing, ...]
    epochs: int
    seeds: tuple[int, ...]
    planned: int

    @property
    def winner(self) -> Standing | None:
        """Returns the finalist with the highest mean among those whose every repeat was successful,
        or `None` where there is no such finalist.
        """
        return self.standings[0] if self.standings[0].sound else None

    @property
    def beats_baseline(self) -> bool | None:
        """Returns whether the whole interval of the winner's lead over the baseline lies above 0,
        or `None` where the winner has no lead: the baseline itself won, or its results are missing.
        """
        lead = self.winner.lead if self.winner else None
        return lead.low > 0 if lead else None


def compare_finalists(records: Iterable[FinalistRecord]) -> Outcome | None:
    """Compares finalists over the repeats that every one of them has ended, successfully or not.

    A finalist with a failed or diverged repeat ranks behind all others, whatever its mean. Of equal
    means the earlier trial ranks first, and so the baseline before any other. Where trainings have
    different lengths, as after an extension, only the longest count. Returns `None` with fewer than
    two finalists or fewer than two such repeats.
    """
    found = list(records)
    longest = max((_length(record) for record in found), default=0)
    tables: dict[int, dict[int, FinalistRecord]] = {}
    for record in found:
        if _length(record) == longest:
            tables.setdefault(record.trial, {})[record.repeat] = record
    planned = {repeat for table in tables.values() for repeat in table}
    ended = sorted(r for r in planned if all(_ended(t.get(r)) for t in tables.values()))
    if len(tables) < 2 or len(ended) < FEWEST_REPEATS:
        return None
    values = {
        trial: tuple(table[repeat].val_top1 for repeat in ended) for trial, table in tables.items()
    }
    standings = sorted((_standing(trial, values) for trial in values), key=_rank)
    any_table = next(iter(tables.values()))
    return Outcome(
        standings=tuple(standings),
        epochs=longest,
        seeds=tuple(int(any_table[repeat].config["seed"]) for repeat in ended),
        planned=len(planned),
    )


def _length(record: FinalistRecord) -> int:
    return int(record.config["epochs"])


def _ended(record: FinalistRecord | None) -> bool:
    return record is not None and record.state is not TrialState.RUNNING


def _standing(trial: int, values: Mapping[int, tuple[float | None, ...]]) -> Standing:
    own = values[trial]
    against = values.get(BASELINE) if trial != BASELINE else None
    leads = (
        [a - b for a, b in zip(own, against, strict=True) if a is not None and b is not None]
        if against
        else []
    )
    return Standing(
        trial=trial,
        values=own,
        top1=interval_of_repeats([value for value in own if value is not None]),
        lead=interval_of_repeats(leads, least=-1.0),
    )


def _rank(standing: Standing) -> tuple[bool, float, int]:
    mean = standing.top1.mean if standing.top1 else -math.inf
    return (not standing.sound, -mean, standing.trial)
