"""Uses Optuna's internals, each with a reason and the version that makes it necessary."""

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
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


@contextmanager
def quiet_ranges() -> Iterator[None]:
    """Silences Optuna's warnings of values outside of their ranges and of steps that don't divide
    them, because a plan is refused for both with a sentence.
    """
    with warnings.catch_warnings():
        for message in ("Fixed parameter", "The value .* is out of", "The distribution is spec"):
            warnings.filterwarnings("ignore", message)
        yield


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Returns whether a value lies in a range, and on its steps.

    Optuna 5.0.0 has no public test: its own trials accept such values with a warning.
    """
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):  # not a number, or none of the choices
        return False


def nearest_in(distribution: BaseDistribution, value: Any) -> Any:
    """Returns the value in a range that is nearest to another one, or the first one of choices that
    the other one isn't among.
    """
    if contains(distribution, value):
        return value
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"{distribution} is neither a number's range nor a choice.")
    low, high, step = distribution.low, distribution.high, distribution.step
    inside = min(max(value, low), high)
    return min(low + step * round((inside - low) / step), high) if step else inside


class BaselineTrial(FixedTrial):
    """Suggests the baseline's value of each parameter, whether or not it lies in the range, or the
    one that is `nearest` to it in the range. Raises `SpaceError` for a parameter that the baseline
    lacks.
    """

    def __init__(self, values: Mapping[str, Any], *, nearest: bool) -> None:
        super().__init__(dict(values))
        self._nearest = nearest

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            raise SpaceError(
                f"The baseline must have a value of each parameter, but has none of {name}; give "
                f"it one in TrialConfig({name}=…), or leave the parameter out."
            )
        value = self._params[name]
        if self._nearest:
            value = nearest_in(distribution, value)
        self._suggested_params[name] = value
        self._distributions[name] = distribution
        return value


class PreferringTrial(FixedTrial):
    """Suggests each parameter's value in `values` if it lies in the range, or else in `otherwise`,
    or else, where the network isn't that of `otherwise`, the nearest one in the range.

    A range is known only when a space asks for the parameter. All `suggest_` methods of Optuna
    5.0.0's `FixedTrial` call `_suggest`, which takes values from `_params`: overriding each of the
    methods would build every distribution twice.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        otherwise: Mapping[str, Any],
        network: str | None = None,
    ) -> None:
        """Makes a trial of the network `network`, unless the trial is asked for one."""
        super().__init__(dict(otherwise))
        self._values, self._usual = values, otherwise.get("network")
        self._network = network or self._usual

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._values and contains(distribution, self._values[name]):
            self._params[name] = self._values[name]
        elif name in self._params and self._usual != self._chosen():
            self._params[name] = nearest_in(distribution, self._params[name])
        return super()._suggest(name, distribution)

    def _chosen(self) -> str | None:
        return self._suggested_params.get("network", self._network)
