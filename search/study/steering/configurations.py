"""Makes the configuration of a trial that a user asks for, from the values that the user names."""

from collections.abc import Mapping
from typing import Any

from common.text import did_you_mean
from results.analysis.searched_ranges import describe_range
from search.space import SpaceError
from search.study.optuna_patches import PreferringTrial, contains
from search.study.proposer import Proposer
from search.study.steering.commands import SteeringError
from trainables.conditional_fields import CONDITIONAL, CONDITIONAL_DEFAULTS
from trainables.config import ConfigError, TrialConfig
from trainables.field_values import read_text


def make_by_hand(
    proposer: Proposer, named: Mapping[str, str], base: Mapping[str, Any]
) -> tuple[dict[str, Any], TrialConfig]:
    """Returns (searched parameters, whole configuration) of a trial with the values `named`, which
    are texts by parameter, and otherwise those of `base`, or the baseline's where the space gives a
    parameter no place in `base` or another range.

    Raises `SteeringError` with a sentence for each name that the space doesn't search, or not
    beside the other values, for each value outside of its range, and for values that contradict
    each other.
    """
    values = {name: read_text(name, text) for name, text in named.items()}
    otherwise = CONDITIONAL_DEFAULTS | proposer.space.baseline.to_dict()
    trial = PreferringTrial({**base, **values}, otherwise)
    try:
        params, config = proposer.propose(trial)
    except (ConfigError, SpaceError) as error:
        raise SteeringError(
            f"The values must make a configuration that can be trained, but don't ({error}); "
            "name other ones."
        ) from error
    faults = []
    for name, value in values.items():
        if name not in trial.distributions:
            faults.append(_why_not_searched(proposer, name, params))
        elif not contains(trial.distributions[name], value):
            faults.append(
                f"{name} must lie in its range of {describe_range(trial.distributions[name])}, "
                f"but got {value!r}; name another value."
            )
    faults += [
        f"{name} must be named too, because neither the trial that fills the rest nor the baseline "
        f"has a value in its range of {describe_range(trial.distributions[name])}."
        for name, value in params.items()
        if name not in values and not contains(trial.distributions[name], value)
    ]
    if faults:
        raise SteeringError(faults)
    return params, config


def _why_not_searched(proposer: Proposer, name: str, params: Mapping[str, Any]) -> str:
    """Returns the sentence for a parameter that a configuration with `params` doesn't have."""
    if name in proposer.fixed:
        return f"{name} must be left out, because --set fixes it for all trials of this search."
    known = sorted({each for probe in proposer.probe() for each in probe.distributions})
    if name not in known:
        hint = did_you_mean(name, known, otherwise=f"it searches {', '.join(known)}.")
        return f"{name} is not a parameter that this search varies; {hint}"
    owner, needed = CONDITIONAL.get(name, (None, None))
    remedy = f"name {owner}={needed} too" if owner in params else "name what it depends on too"
    return f"{name} has no place beside the other values; leave it out, or {remedy}."
