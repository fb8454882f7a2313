"""Proposes configurations: the most promising of many random ones, by a model of the results.

Random ones, and not the summit of the model, on purpose. On recorded curves every search that
climbs the model's summits crowds round what it has already tried: with twenty epochs of each
configuration in a table, TPE and Gaussian processes that do so lose to random search
(results/published/scheduler.md). The best of `CANDIDATES` random configurations lies in the
promising region and yet apart from the others.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.drawing import Drawing
from search.encoding import Encoding
from search.evidence import Evidence, expected_ends
from search.model import Model, Observations

STARTUP_TRIALS = 10
"""Random configurations before the model takes over."""

RANDOM_SHARE = 0.1
"""Of the proposals after that: what the model thinks nothing of is still looked at."""

CANDIDATES = 400
"""Random configurations of which the most promising is proposed."""

APART = 0.8
"""How near to a tried configuration a candidate may lie, in mean distances to a neighbour."""

FEWEST = 5
"""Results without which there is nothing to fit a model to."""

Ask = Callable[[Drawing], object]
"""Asks a drawing for the parameters of one configuration, as a space's `suggest` does."""


class ModelSampler(BaseSampler):
    """The sampler of one trial: its choice depends on the seed and the evidence alone.

    `ask` draws configurations; `marks` are the epochs at which trials are compared, the last one
    included. Before `STARTUP_TRIALS` configurations have begun, and now and then, it draws one.
    """

    def __init__(
        self, ask: Ask, seed: int, number: int, evidence: Sequence[Evidence], marks: Sequence[int]
    ) -> None:
        self._ask, self._number = ask, number
        self._evidence, self._marks = evidence, marks
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._chosen: Drawing | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters of the chosen configuration; none when it is to be a random one."""
        if self._number >= STARTUP_TRIALS and self._rng.random() >= RANDOM_SHARE:
            self._chosen = choose(self._ask, self._evidence, self._marks, self._rng)
        return self._chosen.distributions if self._chosen else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The chosen configuration."""
        return self._chosen.params if self._chosen else {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def choose(
    ask: Ask, evidence: Sequence[Evidence], marks: Sequence[int], rng: np.random.Generator
) -> Drawing | None:
    """The candidate from which the most is expected; `None` where nothing can be learnt yet."""
    seen = [each for each in evidence if each.unfit or marks[0] in each.values]
    if len(seen) < FEWEST:
        return None
    values, variances = expected_ends(seen, marks)
    if np.ptp(values) == 0:
        return None
    source = Random(int(rng.integers(2**32)))
    drawn = [_drawn(ask, source) for _ in range(CANDIDATES)]
    encoding = Encoding({name: d for each in drawn for name, d in each.distributions.items()})
    points = _points(encoding, [each.params for each in drawn])
    tried = _points(encoding, [each.params for each in evidence])
    left = novel(points, tried)
    observed = _points(encoding, [each.params for each in seen])
    model = Model(
        Observations(points=observed, values=values, variances=variances), encoding.owners, rng
    )
    begun = [each.params for each in evidence if each.running and marks[0] not in each.values]
    if begun:
        model.believe(_points(encoding, begun))
    best = float(model.predict(observed)[0].max())
    gains = expected_improvement(*model.predict(points[left]), best)
    return drawn[int(left[int(np.argmax(gains))])]


def _drawn(ask: Ask, rng: Random) -> Drawing:
    drawing = Drawing(rng)
    ask(drawing)
    return drawing


def _points(encoding: Encoding, params: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Points of the unit cube; what a configuration doesn't have lies in the middle."""
    return np.nan_to_num(encoding.encode_all(params), nan=0.5)


def novel(points: NDArray[np.float64], tried: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows of `points` that lie apart from all of `tried`; the farthest tenth where none does.

    Apart means by `APART` times the mean distance from a point to the nearest other one.
    """
    if not len(tried):
        return np.arange(len(points))
    among = _distances(points, points)
    np.fill_diagonal(among, np.inf)
    nearest = _distances(points, tried).min(1)
    apart = np.flatnonzero(nearest >= APART * among.min(1).mean())
    return apart if len(apart) else np.argsort(-nearest, kind="stable")[: len(points) // 10]


def _distances(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
    return np.asarray(np.sqrt(np.maximum(sums - 2.0 * left @ right.T, 0.0)))


def expected_improvement(
    mean: NDArray[np.float64], deviation: NDArray[np.float64], best: float
) -> NDArray[np.float64]:
    """Over `best`, of normally distributed values (Jones et al. 1998, equation 15)."""
    from scipy.stats import norm

    z = (mean - best) / deviation
    return np.asarray(deviation * (z * norm.cdf(z) + norm.pdf(z)))
