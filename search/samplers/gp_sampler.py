"""Proposes configurations: the most promising of many random ones, by a model of the results.

Random ones, and not the summit of the model, on purpose. On recorded curves every search that
climbs the model's summits crowds round what it has already tried: with twenty epochs of each
configuration in a table, TPE and Gaussian processes that do so lose to random search
(results/published/scheduler.md). The best of `CANDIDATES` random configurations lies in the
promising region and yet apart from the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

KEPT = 0.75
"""The highest probability with which a configuration keeps each of the baseline's values.

Each configuration has its own, between none and this. A published baseline is a good place to
start from, and what changes everything at once, every kind of regularisation among it, loses to
it early in training, whatever its parts are worth.
"""

Ask = Callable[[RandomConfiguration], object]
"""Asks a drawing for the parameters of one configuration, as a space's `suggest` does."""


@dataclass(frozen=True, slots=True)
class ConfigurationSource:
    """Where random configurations come from: what to ask for, and the baseline, if there is one."""

    ask: Ask
    baseline: Mapping[str, Any] | None = None

    def drawn(self, rng: Random) -> RandomConfiguration:
        """One configuration."""
        drawing = RandomConfiguration(rng, self.baseline, rng.uniform(0.0, KEPT))
        self.ask(drawing)
        return drawing


class GaussianProcessSampler(BaseSampler):
    """The sampler of one trial: its choice depends on the seed and the evidence alone.

    `marks` are the epochs at which trials are compared, the last one included. Before
    `STARTUP_TRIALS` configurations have begun, and now and then, it proposes any drawn one.
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
        """The parameters of the chosen configuration."""
        chosen = None
        if self._number >= STARTUP_TRIALS and self._rng.random() >= RANDOM_SHARE:
            chosen = choose_candidate(self._source, self._evidence, self._marks, self._rng)
        self._chosen = chosen or self._source.drawn(Random(self._seed))
        return self._chosen.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The chosen configuration."""
        return {} if self._chosen is None else self._chosen.params

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value, for what a space asks of a trial that it didn't ask of a drawing."""
        return draw_value(param_distribution, Random(f"{self._seed} {param_name}"))


MakeSampler = Callable[
    [ConfigurationSource, int, int, Sequence[ObservedTrial], Sequence[int]], BaseSampler
]
"""(source of configurations, seed, trial number, evidence, marks) -> the sampler of that trial."""


def choose_candidate(
    source: ConfigurationSource,
    evidence: Sequence[ObservedTrial],
    marks: Sequence[int],
    rng: np.random.Generator,
) -> RandomConfiguration | None:
    """The candidate from which the most is expected; `None` where nothing can be learnt yet."""
    seen = np.array([each.unfit or marks[0] in each.values for each in evidence], dtype=bool)
    if seen.sum() < FEWEST:
        return None
    values, variances = expected_ends(list(compress(evidence, seen)), marks)
    if np.ptp(values) == 0:
        return None
    draws = Random(int(rng.integers(2**32)))
    drawn = [source.drawn(draws) for _ in range(CANDIDATES)]
    encoding = Encoding({name: d for each in drawn for name, d in each.distributions.items()})
    points = _points(encoding, [each.params for each in drawn])
    tried = _points(encoding, [each.params for each in evidence])
    left = find_untried(points, tried)
    observations = Observations(points=tried[seen], values=values, variances=variances)
    model = GaussianProcess(observations, encoding.owners, rng)
    begun = ~seen & np.array([each.running for each in evidence])
    if begun.any():
        model.believe(tried[begun])
    best = float(model.predict(model.points)[0].max())
    gains = expected_improvement(*model.predict(points[left]), best)
    return drawn[int(left[int(np.argmax(gains))])]


def _points(encoding: Encoding, params: Sequence[Mapping[str, Any]]) -> Matrix:
    """Points of the unit cube; what a configuration doesn't have lies in the middle."""
    return np.nan_to_num(encoding.encode_all(params), nan=0.5)


def find_untried(points: Matrix, tried: Matrix) -> NDArray[np.intp]:
    """Rows of `points` that lie apart from all of `tried`; the farthest tenth where none does.

    Apart means by `APART` times the mean distance from a point to the nearest other one.
    """
    if not len(tried):
        return np.arange(len(points))
    among = np.sqrt(squared_distances(points, points))
    np.fill_diagonal(among, np.inf)
    nearest = np.sqrt(squared_distances(points, tried).min(1))
    apart = np.flatnonzero(nearest >= APART * among.min(1).mean())
    return apart if len(apart) else np.argsort(-nearest, kind="stable")[: len(points) // 10]


def expected_improvement(mean: Vector, deviation: Vector, best: float) -> Vector:
    """Over `best`, of normally distributed values (Jones et al. 1998, equation 15)."""
    from scipy.stats import norm

    z = (mean - best) / deviation
    return np.asarray(deviation * (z * norm.cdf(z) + norm.pdf(z)))
