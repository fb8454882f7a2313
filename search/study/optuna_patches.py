"""Uses Optuna's internals, each with a reason and the version that makes it necessary."""

import copy
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial, FrozenTrial

from search.space import SpaceError


def reopen_trial(study: optuna.Study, trial: FrozenTrial) -> optuna.Trial:
    """Returns a `Trial` for one of an earlier process that hasn't ended.

    Optuna 5.0.0 makes a `Trial` only for new trials: for a recorded one, it must be built by hand,
    from an identifier that is private in `FrozenTrial`.
    """
    return optuna.Trial(study, trial._trial_id)


def new_trial(study: optuna.Study) -> optuna.Trial:
    """Returns a new trial of a study in which none waits.

    Optuna 5.0.0's `ask` looks for a waiting trial among all trials first, which takes longer than a
    sampler's choice where there are thousands.
    """
    study._thread_local.cached_all_trials = None  # as `ask` does
    return optuna.Trial(study, study._storage.create_new_trial(study._study_id))


def ask_again(study: optuna.Study, trial: FrozenTrial) -> optuna.Trial:
    """Returns a trial that a killed search had asked for, as if no parameter had been drawn yet.

    The trial may have some parameters already. The sampler draws these again, to the same values,
    because the others would differ if they were the first that it draws. Optuna 5.0.0 takes a
    recorded parameter from the copy of the trial that it caches, without using the sampler.
    """
    again = reopen_trial(study, trial)
    blank = copy.copy(trial)
    blank.params, blank.distributions = {}, {}
    again._cached_frozen_trial = blank
    return again


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Returns whether a value lies in a range, and on its steps.

    Optuna 5.0.0 has no public test: its own trials accept such values with a warning.
    """
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):  # not a number, or none of the choices
        return False


class BaselineTrial(FixedTrial):
    """Suggests the baseline's value of each parameter, whether or not it lies in the range. Raises
    `SpaceError` for a parameter that the baseline lacks.
    """

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            raise SpaceError(
                f"The baseline must have a value of each parameter, but has none of {name}; give "
                f"it one in TrialConfig({name}=…), or leave the parameter out."
            )
        self._suggested_params[name] = self._params[name]
        self._distributions[name] = distribution
        return self._params[name]


class PreferringTrial(FixedTrial):
    """Suggests each parameter's value in `values` if it lies in the range, or else in `otherwise`.

    A range is known only when a space asks for the parameter. All `suggest_` methods of Optuna
    5.0.0's `FixedTrial` call `_suggest`, which takes values from `_params`: overriding each of the
    methods would build every distribution twice.
    """

    def __init__(self, values: Mapping[str, Any], otherwise: Mapping[str, Any]) -> None:
        super().__init__(dict(otherwise))
        self._values = values

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._values and contains(distribution, self._values[name]):
            self._params[name] = self._values[name]
        return super()._suggest(name, distribution)
