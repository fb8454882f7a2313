"""Draws the rows of recorded curves, where a simulated search may propose nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Self

from optuna.samplers import BaseSampler

from search.samplers.gp_sampler import GaussianProcessSampler
from search.samplers.learning_curves import ObservedTrial
from search.samplers.random_configs import RandomConfiguration
from search.samplers.source import ConfigurationSource


@dataclass(frozen=True, slots=True)
class RowSource(ConfigurationSource):
    """Draws each of `rows`, the configurations of recorded curves, with the same probability. The
    baseline's values and priors don't count.
    """

    rows: Sequence[Mapping[str, Any]] = ()

    def draw(self, rng: Random) -> RandomConfiguration:
        """Returns one of the rows; `rng` chooses it."""
        drawing = RandomConfiguration(rng, rng.choice(self.rows), 1.0)
        self.ask(drawing)
        return drawing

    def untried(self, evidence: Sequence[ObservedTrial]) -> Self:
        """Returns a source of the rows that no trial in `evidence` has."""
        tried = {key_of(each.params) for each in evidence}
        return replace(self, rows=[row for row in self.rows if key_of(row) not in tried])


def make_row_sampler(
    source: ConfigurationSource,
    seed: int,
    number: int,
    _evidence: Sequence[ObservedTrial],
    marks: Sequence[int],
) -> BaseSampler:
    """Returns the sampler of one trial that takes what the source draws and learns nothing."""
    return GaussianProcessSampler(source, seed, number, (), marks)


def key_of(params: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    """Returns a key that is equal for equal parameters."""
    return frozenset(params.items())
