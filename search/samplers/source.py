"""Defines what every sampler is made from, and the source of the configurations that it draws."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from optuna.samplers import BaseSampler

from results.analysis.searched_ranges import Prior, rounded
from search.samplers.encoding import PointCache
from search.samplers.learning_curves import ObservedTrial
from search.samplers.random_configs import RandomConfiguration

STARTUP_TRIALS = 10
"""A study begins with this many random configurations, before a sampler learns."""

MAX_KEEP_PROBABILITY = 0.75
"""A random configuration keeps each of the baseline's values with at most this probability.

Each configuration draws its own probability between 0 and this maximum. A published baseline is a
good place to start from. A configuration that changes everything at once, including every kind of
regularisation, loses to the baseline early in training, whatever its parts are worth.
"""

Ask = Callable[[RandomConfiguration], object]
"""A function of this type asks a `RandomConfiguration` for each parameter of one configuration, as
a space's `suggest` does.
"""


FOLLOWING = 0.5
"""A random configuration follows the priors with this probability while nothing is known, and with
half of it after the first `STARTUP_TRIALS` trials, a third after twice as many, and so on.

Half of the configurations are drawn from the priors at first, as in PriorBand (Mallik et al. 2023,
arXiv:2306.12370). They grow fewer, as the prior's weight does in πBO (Hvarfner et al. 2022,
arXiv:2204.11051), so that a wrong prior can't outweigh the results.
"""


def derived_seed(seed: int, part: object) -> int:
    """Returns a seed of 32 bits for one part of a study, such as a trial, by its number."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{part}".encode()).digest()[:4])


@dataclass(frozen=True, slots=True)
class ConfigurationSource:
    """Draws random configurations: `ask` requests their parameters, and `baseline` has the
    parameters of the baseline, if there is one. `encoded` remembers the points of tried ones.

    `priors` are the beliefs of the space's author, by parameter. `number` is how many trials
    precede the one that a configuration is drawn for.
    """

    ask: Ask
    baseline: Mapping[str, Any] | None = None
    encoded: PointCache = field(default_factory=PointCache, compare=False)
    priors: Mapping[str, Prior] = field(default_factory=dict)
    number: int = 0

    def draw(self, rng: Random) -> RandomConfiguration:
        """Returns one random configuration; `rng` decides how many of the baseline's values it
        keeps, and whether it follows the priors.
        """
        keep = rng.uniform(0.0, MAX_KEEP_PROBABILITY)
        if self.priors and rng.random() < FOLLOWING / (1 + self.number / STARTUP_TRIALS):
            drawing = RandomConfiguration(rng, self.baseline, keep, self.priors)
        else:
            drawing = RandomConfiguration(rng, self.baseline, keep)
        self.ask(drawing)
        return drawing

    def believed(self, seed: int) -> dict[str, Any] | None:
        """Returns the parameters of the trial after the baseline: the priors' values, with the
        baseline's in all other parameters, and random ones by `seed` where the baseline has none.

        The result is `None` without priors, and where that is the baseline itself: where its own
        values are believed in, or where every believed parameter is fixed.
        """
        if not self.priors:
            return None
        sure = {name: replace(each, confidence=1.0) for name, each in self.priors.items()}
        drawing = RandomConfiguration(Random(seed), self.baseline, 1.0, sure, near=0.0)
        self.ask(drawing)
        both = (self.baseline or {}, drawing.params)
        own, believed = ({name: rounded(v) for name, v in each.items()} for each in both)
        return None if own == believed else drawing.params


MakeSampler = Callable[
    [ConfigurationSource, int, int, Sequence[ObservedTrial], Sequence[int]], BaseSampler
]
"""A function of this type makes the sampler of one trial from (source of configurations, seed,
trial number, evidence, marks).
"""
