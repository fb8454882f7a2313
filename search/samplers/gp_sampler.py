"""Proposes configurations: the most promising one of many random configurations, by a Gaussian
process fitted to the results.

The candidates are random on purpose, instead of being the maximum of the acquisition function. On
recorded curves, every search that climbs to the maximum crowds around what it has already tried:
with twenty epochs of each configuration in a table, TPE and Gaussian processes that do so lose to
random search (results/published/scheduler.md). The best of `CANDIDATES` random configurations lies
in the promising region and yet apart from the others.
"""

from collections.abc import Mapping, Sequence
from itertools import compress
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.samplers.encoding import Encoding, Matrix, Vector, squared_distances
from search.samplers.gaussian_process import GaussianProcess, Observations
from search.samplers.learning_curves import ObservedTrial, expected_ends
from search.samplers.random_configs import RandomConfiguration, draw_value
from search.samplers.source import STARTUP_TRIALS, ConfigurationSource

RANDOM_SHARE = 0.1
"""After the first `STARTUP_TRIALS` proposals, this share of the proposals is random, so that
regions which the model considers bad are still explored.
"""

CANDIDATES = 400
"""The most promising of this many random configurations is proposed."""

APART = 0.8
"""A candidate lies at least this far from every tried configuration, in units of the mean distance
between a candidate and its nearest neighbour.
"""

FEWEST = 5
"""The Gaussian process is fitted to at least this many results."""


class GaussianProcessSampler(BaseSampler):
    """Samples the parameters of one trial. Its choice depends only on the seed and on the evidence.

    number: the trial's number. For the first `STARTUP_TRIALS` numbers, and for a share of the later
        ones, the sampler proposes a random configuration.
    evidence: what earlier trials have shown.
    marks: the epochs at which trials are compared, the last epoch included.
    """

    def __init__(
        self,
        source: ConfigurationSource,
        seed: int,
        number: int,
        evidence: Sequence[ObservedTrial],
        marks: Sequence[int],
    ) -> None:
        self._source, self._number = source, number
        self._evidence, self._marks = evidence, marks
        self._seed, self._rng = seed, np.random.default_rng(seed)
        self._chosen: RandomConfiguration | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Chooses the trial's configuration and returns the distributions of its parameters, by
        name. Optuna calls this method before `sample_relative`.
        """
        chosen = None
        if self._number >= STARTUP_TRIALS and self._rng.random() >= RANDOM_SHARE:
            chosen = choose_candidate(self._source, self._evidence, self._marks, self._rng)
        self._chosen = chosen or self._source.draw(Random(self._seed))
        return self._chosen.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns the parameters of the configuration that `infer_relative_search_space` chose."""
        return {} if self._chosen is None else self._chosen.params

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Returns a random value for a parameter that the space asks a trial for but didn't ask a
        random configuration for.
        """
        return draw_value(param_distribution, Random(f"{self._seed} {param_name}"))


def choose_candidate(
    source: ConfigurationSource,
    evidence: Sequence[ObservedTrial],
    marks: Sequence[int],
    rng: np.random.Generator,
) -> RandomConfiguration | None:
    """Returns the candidate with the highest expected improvement, or `None` where there are too
    few results, or only equal ones, to fit a model.
    """
    seen = np.array([each.unfit or marks[0] in each.values for each in evidence], dtype=bool)
    if seen.sum() < FEWEST:
        return None
    values, variances = expected_ends(list(compress(evidence, seen)), marks)
    if np.ptp(values) == 0:
        return None
    draws = Random(int(rng.integers(2**32)))
    candidates = [source.draw(draws) for _ in range(CANDIDATES)]
    encoding = Encoding({name: d for each in candidates for name, d in each.distributions.items()})
    points = _points(encoding, [each.params for each in candidates])
    tried = _points(encoding, [each.params for each in evidence])
    left = find_untried(points, tried)
    observations = Observations(points=tried[seen], values=values, variances=variances)
    model = GaussianProcess(observations, encoding.owners, rng)
    begun = ~seen & np.array([each.running for each in evidence])
    if begun.any():
        model.believe(tried[begun])
    best = float(model.predict(model.points)[0].max())
    gains = expected_improvement(*model.predict(points[left]), best)
    return candidates[int(left[int(np.argmax(gains))])]


def _points(encoding: Encoding, params: Sequence[Mapping[str, Any]]) -> Matrix:
    """Returns configurations as points of the unit cube, of shape (n, width); a parameter that a
    configuration lacks lies in the middle.
    """
    return np.nan_to_num(encoding.encode_all(params), nan=0.5)


def find_untried(points: Matrix, tried: Matrix) -> NDArray[np.intp]:
    """Returns the indices of the rows of `points` that lie apart from all of `tried`, or those of
    the farthest tenth where no row does.

    A row lies apart if its distance to every tried point is at least `APART` times the mean
    distance between a row and its nearest neighbour.
    """
    if not len(tried):
        return np.arange(len(points))
    among = np.sqrt(squared_distances(points, points))
    np.fill_diagonal(among, np.inf)
    nearest = np.sqrt(squared_distances(points, tried).min(1))
    apart = np.flatnonzero(nearest >= APART * among.min(1).mean())
    return apart if len(apart) else np.argsort(-nearest, kind="stable")[: len(points) // 10]


def expected_improvement(mean: Vector, deviation: Vector, best: float) -> Vector:
    """Returns the expected improvement over `best` of normally distributed values with these means
    and standard deviations, all of shape (n,) (Jones et al. 1998, equation 15).
    """
    from scipy.stats import norm

    z = (mean - best) / deviation
    return np.asarray(deviation * (z * norm.cdf(z) + norm.pdf(z)))
