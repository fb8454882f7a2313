"""Estimates what further trials are expected to gain in val_top1 of the configuration that a search
hands over.

There are two sources of gain. A trial that is running may end above the configuration that leads:
its end is normally distributed, as `expected_ends` extrapolates it. And one of `more` trials that
have yet to begin may exceed all n trials before it, the leader included. Were these proposed like
the next ones, its probability would be more / (n + more), whatever the values' distribution is
(Arnold et al. 1998, Records, chapter 2); because a sampler's proposals get better, only the share
`ALIKE` of them counts. Excesses over the best are exponential, with the mean that those of the best
`TOP` trials have over the next one (Pickands 1975, doi:10.1214/aos/1176343003). How often the
estimates hold on recorded curves, and what the other estimators are, is in
results/published/gain.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from results.analysis.expected_gain import FEWEST
from search.samplers.encoding import Vector
from search.samplers.learning_curves import ObservedTrial, expected_ends

CONFIDENCE = 0.9
"""The gain lies below the interval's upper end with this probability, and never below 0."""

ALIKE = 0.5
"""This share of the trials counts as proposed like the next ones, by default."""

TOP, LEAST_EXCESS = 10, 0.01
"""The mean excess of so many trials is taken, and is at least so large: where the best trials are
equal, such as at the accuracy of a guess, the next better one may be better by any amount.
"""

_GAINS = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 100)])
"""The distribution of the gain is computed at these values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """Holds the `expected` gain in val_top1 as a fraction, and the `upper` end of the interval from
    0 that holds it with probability `CONFIDENCE`.
    """

    expected: float
    upper: float


def estimate_gains(
    evidence: Sequence[ObservedTrial],
    leader: int,
    marks: Sequence[int],
    counts: Sequence[float],
    *,
    alike: float = ALIKE,
) -> list[Gain | None]:
    """Returns, for each number in `counts`, the gain by the running trials and so many further
    ones, or `None` before `FEWEST` trials have ended, and for more trials than have begun.

    evidence: what each trial has shown.
    leader: the place in `evidence` of the trial whose configuration is handed over now.
    marks: the epochs at which trials are compared, the last one included.
    alike: the share of the trials that counts as proposed like the next ones.
    """
    seen = [n for n, each in enumerate(evidence) if each.unfit or marks[0] in each.values]
    ended = sum(not evidence[n].running for n in seen)
    if ended < FEWEST or leader not in seen:
        return [None] * len(counts)
    ends, variances = expected_ends([evidence[n] for n in seen], marks)
    first = seen.index(leader)
    runs = np.array([evidence[n].running and n != leader for n in seen])
    deviations = np.sqrt(variances[runs] + variances[first] + 1e-12)
    below = _below(ends[first] - ends[runs], deviations)
    excess = _mean_excess(ends)
    # No val_top1 exceeds 1, where the excesses of few trials, which differ much, may lead.
    most = max(1 - float(ends[first]), 0.0)
    return [
        _gain(below * _no_record(alike * len(seen), count, excess), most)
        if count <= len(seen)
        else None
        for count in counts
    ]


def _below(leads: Vector, deviations: Vector) -> Vector:
    """Returns the probability that no running trial ends by more than each of `_GAINS` above the
    leader, of which `leads` are the expected leads over them.
    """
    from scipy.special import ndtr

    return np.asarray(np.prod(ndtr((_GAINS[:, None] + leads) / deviations), axis=1))


def _no_record(alike: float, more: float, excess: float) -> Vector:
    """Returns the probability that none of `more` trials exceeds the best of `alike` ones by more
    than each of `_GAINS`.
    """
    return np.asarray(alike / (alike + more * np.exp(-_GAINS / excess)))


def _mean_excess(ends: Vector) -> float:
    """Returns the mean excess of the best `TOP` values over the next one, or `LEAST_EXCESS`."""
    best = np.sort(ends)[::-1]
    count = min(TOP, len(best) - 1)
    return max(float(best[:count].mean() - best[count]), LEAST_EXCESS)


def _gain(distribution: Vector, most: float) -> Gain:
    """Returns the gain with this distribution function at `_GAINS`, of which `most` is possible."""
    gains = np.minimum(_GAINS, most)
    return Gain(
        expected=float(np.trapezoid(1 - distribution, gains)),
        upper=float(np.interp(CONFIDENCE, distribution, gains)),
    )
