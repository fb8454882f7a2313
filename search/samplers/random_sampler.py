"""Proposes configurations at random, for comparison."""

import optuna
from optuna.samplers import BaseSampler

from search.samplers.source import ConfigurationSource


def make_random_sampler(_source: ConfigurationSource, seed: int, *_known: object) -> BaseSampler:
    """Returns the sampler of one trial that draws at random and learns nothing."""
    return optuna.samplers.RandomSampler(seed=seed)
