"""Makes the sampler of searches with several objectives."""

import warnings

import optuna

from search.samplers.source import STARTUP_TRIALS, ConfigurationSource


def make_front_sampler(
    _source: ConfigurationSource, seed: int, *_known: object
) -> optuna.samplers.BaseSampler:
    """Returns the sampler of one trial of a study with several objectives; each trial gets a new
    one.

    This is TPE, whose good group with several objectives are the best trials by non-dominated rank,
    completed by hypervolume (Ozaki et al. 2022, doi:10.1613/jair.1.13188). NSGA-II would draw at
    random until as many trials as its population, 50, are complete, which few searches reach.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=STARTUP_TRIALS,
            multivariate=False,
            constant_liar=True,
        )
