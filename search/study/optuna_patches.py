"""What is used of Optuna's internals, each with the version that needs it and why."""

import copy
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial, FrozenTrial


def reopen_trial(study: optuna.Study, trial: FrozenTrial) -> optuna.Trial:
    """A trial of an earlier process that has not ended, to be reported on and told.

    Optuna 5.0.0 gives a `Trial` only to whoever asks for a new one: for a recorded one it must be
    built by hand, from an identifier that `FrozenTrial` keeps private.
    """
    return optuna.Trial(study, trial._trial_id)


def ask_again(study: optuna.Study, trial: FrozenTrial) -> optuna.Trial:
    """A trial that a killed search had asked for, as if its parameters had yet to be drawn.

    It may have some of them already. The sampler draws these once more, to the same values: the
    others would be different if they were the first that it draws. Optuna 5.0.0 gives a parameter
    that is recorded without asking the sampler, by the copy of the trial that it caches.
    """
    again = reopen_trial(study, trial)
    blank = copy.copy(trial)
    blank.params, blank.distributions = {}, {}
    again._cached_frozen_trial = blank
    return again


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value lies in a range, and on its steps.

    Optuna 5.0.0 has no public test: its own trials warn of such values and take them.
    """
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):  # not a number, or none of the choices
        return False


class PreferringTrial(FixedTrial):
    """An Optuna trial whose parameters are `values` in their ranges, else `otherwise`.

    What a range is, is known only when a space asks. All `suggest_` methods of Optuna 5.0.0's
    `FixedTrial` go through `_suggest`, and it answers from `_params`: overriding each of them
    would build every distribution twice.
    """

    def __init__(self, values: Mapping[str, Any], otherwise: Mapping[str, Any]) -> None:
        super().__init__(dict(otherwise))
        self._values = values

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._values and contains(distribution, self._values[name]):
            self._params[name] = self._values[name]
        return super()._suggest(name, distribution)
