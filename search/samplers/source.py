"""Defines what every sampler is made from, and the source of the configurations that it draws."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from optuna.samplers import BaseSampler

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


@dataclass(frozen=True, slots=True)
class ConfigurationSource:
    """Draws random configurations: `ask` requests their parameters, and `baseline` has the
    parameters of the baseline, if there is one. `encoded` remembers the points of tried ones.
    """

    ask: Ask
    baseline: Mapping[str, Any] | None = None
    encoded: PointCache = field(default_factory=PointCache, compare=False)

    def draw(self, rng: Random) -> RandomConfiguration:
        """Returns one random configuration; `rng` decides how many of the baseline's values it
        keeps.
        """
        drawing = RandomConfiguration(rng, self.baseline, rng.uniform(0.0, MAX_KEEP_PROBABILITY))
        self.ask(drawing)
        return drawing


MakeSampler = Callable[
    [ConfigurationSource, int, int, Sequence[ObservedTrial], Sequence[int]], BaseSampler
]
"""A function of this type makes the sampler of one trial from (source of configurations, seed,
trial number, evidence, marks).
"""
