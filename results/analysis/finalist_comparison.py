"""Which finalist is best, by its mean over repeats, and whether it beats the baseline beyond noise.

The intervals are Student's t, for few repeats. They hold what another seed would change, and not
what other val images would: the split is the same throughout. Each is a 95 % interval for itself.
The winner was chosen among several, so that its lead reads a little too high: with none better
than the baseline, one of 3 finalists «beats» it in 5 of 100 searches, one of 5 in 7, a single one
in 2.5 (simulated, 3 repeats of normal noise, 200,000 searches each).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from results.analysis.intervals import FEWEST_REPEATS, Interval, interval
from results.records import FinalistRecord, TrialState

BASELINE = 0
"""The trial that is the baseline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """One finalist: `values` holds val_top1 after each repeat, `None` where that went wrong.

    `top1` is the interval of those that went well, `lead` that of the difference to the baseline,
    repeat by repeat; each is `None` where fewer than two values are there. The baseline has no
    lead.
    """

    trial: int
    values: tuple[float | None, ...]
    top1: Interval | None
    lead: Interval | None

    @property
    def sound(self) -> bool:
        """Whether every repeat went well."""
        return None not in self.values


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the finalists' repeats of `epochs` epochs say. `standings` has the best one first.

    `seeds` are those of the repeats that all finalists have ended, which alone are compared;
    `planned` repeats were asked for.
    """

    standings: tuple[Standing, ...]
    epochs: int
    seeds: tuple[int, ...]
    planned: int

    @property
    def winner(self) -> Standing | None:
        """The highest mean among finalists whose every repeat went well."""
        return self.standings[0] if self.standings[0].sound else None

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the winner's lead over the baseline lies above 0 with its whole interval.

        `None` where there is nothing to compare: the baseline won, or isn't there.
        """
        lead = self.winner.lead if self.winner else None
        return lead.low > 0 if lead else None


def compare_finalists(records: Iterable[FinalistRecord]) -> Outcome | None:
    """Compares finalists over the repeats that each of them has ended, well or not.

    A finalist that failed or diverged in one ranks behind all that never did, whatever its mean;
    with equal means the earlier trial is first, and so the baseline before any other. `None` with
    fewer than two finalists or fewer than two such repeats. Where trainings differ in length, as
    after an extension, the longest count.
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
        top1=_interval([value for value in own if value is not None]),
        lead=_interval(leads),
    )


def _interval(values: Sequence[float]) -> Interval | None:
    return interval(values) if len(values) >= FEWEST_REPEATS else None


def _rank(standing: Standing) -> tuple[bool, float, int]:
    mean = standing.top1.mean if standing.top1 else -math.inf
    return (not standing.sound, -mean, standing.trial)
