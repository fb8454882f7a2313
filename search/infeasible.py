"""Configurations that need more memory than there is, as a violated constraint of the sampler.

Samplers pass over trials in Optuna's state FAIL, so what ran out of memory would be proposed again.
"""

import warnings

import optuna
from optuna.trial import FrozenTrial, TrialState

MEMORY = "memory"
"""The constraint's name: 1 where a trial ran out of memory; trials that fitted have none."""


def tell_infeasible(study: optuna.Study, trial: optuna.Trial) -> None:
    """Ends a trial that ran out of memory such that the sampler learns of it.

    TPE ranks infeasible trials behind all others, whatever epochs they may have reported.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # set already, by a search that was killed here
        trial.set_constraint(MEMORY, 1.0)
    study.tell(trial, state=TrialState.PRUNED)


def infeasible(trial: FrozenTrial) -> bool:
    """Whether a trial of an Optuna study violated a constraint: its values say nothing then."""
    return any(value > 0 for value in trial.constraints.values())
