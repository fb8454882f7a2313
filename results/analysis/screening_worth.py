"""Judges whether a screening's short trainings tell configurations apart.

If they didn't, their accuracies would differ by chance alone: that of guessing p of n images right
varies by p (1 − p) / n. The share of the accuracies' variance that goes beyond this is their
reliability, as in the theory of tests (Lord & Novick 1968). On recorded tables, short trainings of
pretrained networks with a reliability of 0.7 have a rank correlation of 0.59 with the end, and
those from scratch with one of 0 a correlation of 0.2 (results/published/LOG.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

from results.records import ScreeningRecord, TrialState

LEAST_RELIABILITY = 0.5
"""Below this, a screening says less of a configuration than chance does, and nothing follows."""

FIRST_LOOK = 16
"""A screening ends after so many trainings if these already show, with `CONFIDENCE`, that the
reliability is too low.
"""

CONFIDENCE = 0.9

FEWEST = 5
"""With fewer accuracies than this, nothing is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScreeningWorth:
    """Holds what is known of a screening: the number of its `trainings` that count, the standard
    deviation of their accuracies (`spread`), the one that chance alone gives them (`chance`), and
    the `reliability`, at most 1, with the `upper` end of its interval. `useful` says whether the
    search follows the screening.
    """

    trainings: int
    spread: float
    chance: float
    reliability: float
    upper: float
    useful: bool

    def describe(self) -> str:
        """Returns a phrase on what the short trainings tell."""
        tell = "tell configurations apart" if self.useful else "tell configurations hardly apart"
        return (
            f"{self.trainings} short trainings {tell}: their accuracies spread by "
            f"{100 * self.spread:.1f} points, by chance alone {100 * self.chance:.1f}"
        )


def judge_screening(
    ended: Mapping[int, float | None], planned: int, val_images: int
) -> ScreeningWorth | None:
    """Returns what a screening of `planned` trainings is worth, or `None` as long as that isn't
    known.

    ended: the accuracy of each training that has ended, by its number, and `None` for one without.
    val_images: the number of images that an accuracy comes from, 0 where it isn't known.

    The judgement depends on the trainings' numbers, never on the order in which they ended, so that
    a resumed search judges alike.
    """
    first = [ended[number] for number in range(FIRST_LOOK) if number in ended]
    if planned > FIRST_LOOK == len(first):
        early = _judge(first, val_images)
        if early and early.upper < LEAST_RELIABILITY:
            return early
    return _judge(list(ended.values()), val_images) if len(ended) >= planned else None


def judge_records(
    records: Iterable[ScreeningRecord], planned: int, val_images: int
) -> ScreeningWorth | None:
    """Returns what `judge_screening` does, from the records of the trainings that have begun."""
    ended = {r.number: r.val_top1 for r in records if r.state is not TrialState.RUNNING}
    return judge_screening(ended, planned, val_images)


def params_key(params: Mapping[str, Any]) -> str:
    """Returns a text that is equal for equal parameters of a short training and a trial."""
    return repr(sorted(params.items()))


def _judge(accuracies: Sequence[float | None], val_images: int) -> ScreeningWorth | None:
    from scipy.stats import chi2

    known = [each for each in accuracies if each is not None]
    if len(known) < FEWEST or not val_images:
        return None
    chance, spread = fmean(p * (1 - p) for p in known) / val_images, variance(known)
    low = chi2.ppf(1 - CONFIDENCE, len(known) - 1) / (len(known) - 1)
    reliability = 1 - chance / spread if spread else 0.0
    return ScreeningWorth(
        trainings=len(known),
        spread=spread**0.5,
        chance=chance**0.5,
        reliability=reliability,
        upper=1 - low * chance / spread if spread else 0.0,
        useful=reliability >= LEAST_RELIABILITY,
    )
