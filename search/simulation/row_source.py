"""Draws the rows of recorded curves, where a simulated search may propose nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Self

from optuna.samplers import BaseSampler

from search.samplers.gp_sampler import GaussianProcessSampler
from search.samplers.learning_curves import ObservedTrial
from search.samplers.random_configs import RandomConfiguration
from search.samplers.source import ConfigurationSource

Row = tuple[frozenset[tuple[str, Any]], Mapping[str, Any]]
"""A configuration of recorded curves, behind a key that is equal for equal configurations."""


def make_rows(configurations: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Returns the configurations with their keys."""
    return [(_key(params), params) for params in configurations]


@dataclass(frozen=True, slots=True)
class RowSource(ConfigurationSource):
    """Draws each of `rows`, the configurations of recorded curves, with the same probability. The
    baseline's values and priors don't count.
    """

    rows: Sequence[Row] = ()

    def draw(self, rng: Random) -> RandomConfiguration:
        """Returns one of the rows; `rng` chooses it."""
        _, params = rng.choice(self.rows)
        drawing = RandomConfiguration(rng, params, 1.0)
        self.ask(drawing)
        return drawing

    def untried(self, evidence: Sequence[ObservedTrial]) -> Self:
        """Returns a source of the rows that no trial in `evidence` has."""
        tried = {_key(each.params) for each in evidence if each.tried}
        return replace(self, rows=[row for row in self.rows if row[0] not in tried])


def make_row_sampler(
    source: ConfigurationSource,
    seed: int,
    number: int,
    _evidence: Sequence[ObservedTrial],
    marks: Sequence[int],
) -> BaseSampler:
    """Returns the sampler of one trial that takes what the source draws and learns nothing."""
    return GaussianProcessSampler(source, seed, number, (), marks)


def _key(params: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(params.items())
