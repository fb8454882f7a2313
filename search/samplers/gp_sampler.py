"""Proposes configurations: the most promising one of many random configurations, by a Gaussian
process fitted to the results.

The candidates are random on purpose, instead of being the maximum of the acquisition function. On
recorded curves, every search that climbs to the maximum crowds around what it has already tried:
with twenty epochs of each configuration in a table, TPE and Gaussian processes that do so lose to
random search (results/published/scheduler.md). The best of `CANDIDATES` random configurations lies
in the promising region and yet apart from the others.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.samplers.encoding import (
    Encoding,
    Matrix,
    Vector,
    encode_points,
    merge_distributions,
    nearest_squared,
    squared_distances,
)
from search.samplers.gaussian_process import GaussianProcess, Observations
from search.samplers.learning_curves import ObservedTrial, as_evidence, extrapolate
from search.samplers.random_configs import RandomConfiguration, draw_value
from search.samplers.source import STARTUP_TRIALS, ConfigurationSource, MakeSampler

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

_COMPARED = 40
"""So many candidates are compared with all tried configurations at once, the best ones first."""

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
        if not is_random(self._number, self._rng):
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


def is_random(number: int, rng: np.random.Generator) -> bool:
    """Returns whether trial `number` is drawn at random, whatever the evidence; `rng` is the
    trial's own generator, which hasn't been used yet.
    """
    return number < STARTUP_TRIALS or rng.random() < RANDOM_SHARE


def is_random_trial(make: MakeSampler, number: int, seed: int) -> bool:
    """Returns whether trial `number`, whose sampler `make` makes with this seed, is drawn at
    random. Trials of samplers other than the Gaussian process count as random, and are compared
    with all trials.
    """
    return make is not GaussianProcessSampler or is_random(number, np.random.default_rng(seed))


def choose_candidate(
    source: ConfigurationSource,
    evidence: Sequence[ObservedTrial],
    marks: Sequence[int],
    rng: np.random.Generator,
) -> RandomConfiguration | None:
    """Returns the candidate with the highest expected improvement, or `None` where there are too
    few results, only equal ones, or only unfit configurations, to fit a model.
    """
    held = as_evidence(evidence, marks)
    seen = held.unfit | ~np.isnan(held.table).all(axis=1)
    if seen.sum() < FEWEST or held.unfit[seen].all():
        return None
    values, variances = extrapolate(held.table[seen], held.unfit[seen])
    if np.ptp(values) == 0:
        return None
    draws = Random(int(rng.integers(2**32)))
    candidates = [source.draw(draws) for _ in range(CANDIDATES)]
    encoding = Encoding(merge_distributions([each.distributions for each in candidates]))
    points = encode_points(encoding, [each.params for each in candidates])
    tried = source.encoded.points(encoding, held.params)
    observations = Observations(points=tried[seen], values=values, variances=variances)
    begun = ~seen & held.running
    model = GaussianProcess(observations, tried[begun], encoding.owners, rng)
    gains = expected_improvement(*model.predict(points), model.best)
    order = np.argsort(-gains, kind="stable")
    tried = tried[held.tried]
    return candidates[int(order[first_untried(points[order], tried)])]


def first_untried(points: Matrix, tried: Matrix) -> int:
    """Returns the index of the first row of `points` that lies apart from all of `tried`, or, where
    none does, of the first row among the farthest tenth.

    A row lies apart if its distance to every tried point is at least `APART` times the mean
    distance between a row and its nearest neighbour.
    """
    if not len(tried):
        return 0
    among = np.sqrt(squared_distances(points, points))
    np.fill_diagonal(among, np.inf)
    least = APART * among.min(1).mean()
    nearest: Vector = np.empty(0)
    for at in range(0, len(points), _COMPARED):
        compared = nearest_squared(points[at : at + _COMPARED], tried)
        nearest = np.append(nearest, np.sqrt(compared))
        if len(apart := np.flatnonzero(nearest >= least)):
            return int(apart[0])
    return int(np.argsort(-nearest, kind="stable")[: len(points) // 10].min())


def expected_improvement(mean: Vector, deviation: Vector, best: float) -> Vector:
    """Returns the expected improvement over `best` of normally distributed values with these means
    and standard deviations, all of shape (n,) (Jones et al. 1998, equation 15).
    """
    from scipy.stats import norm

    z = (mean - best) / deviation
    return np.asarray(deviation * (z * norm.cdf(z) + norm.pdf(z)))
