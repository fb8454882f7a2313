"""Configurations that need more memory than there is, as a violated constraint in Optuna's study.

It is what `optuna-dashboard` shows of them, and what Optuna's own samplers learn from: they pass
over trials in the state FAIL, and propose the like again.
"""

import warnings

import optuna
from optuna.trial import TrialState

MEMORY = "memory"
"""The constraint's name: 1 where a trial ran out of memory; trials that fitted have none."""


def tell_infeasible(study: optuna.Study, trial: optuna.Trial) -> None:
    """Ends a trial that ran out of memory, as infeasible whatever epochs it may have reported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # set already, by a search that was killed here
        trial.set_constraint(MEMORY, 1.0)
    study.tell(trial, state=TrialState.PRUNED)
