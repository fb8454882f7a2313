"""Proposes configurations on recorded curves, as the proposer of a real search does in a space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler

from results.analysis.searched_ranges import Prior
from search.samplers.gp_sampler import GaussianProcessSampler, is_random_trial
from search.samplers.learning_curves import ObservedTrial
from search.samplers.random_configs import RandomConfiguration
from search.samplers.source import ConfigurationSource, MakeSampler, derived_seed
from search.simulation.recorded_curves import Curves
from search.simulation.row_source import RowSource, make_rows

ENDLESS = 2**31
"""A simulated study has this many trials, because its budget, in epochs, ends it earlier."""


@dataclass(frozen=True, slots=True)
class Point:
    """Holds a configuration on recorded curves, which consists of its parameters alone."""

    params: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Returns the parameters, for the records."""
        return dict(self.params)


class PointProposer:
    """Proposes configurations on recorded curves: conditional parameters where they count, all
    others in every trial. `priors` are beliefs on where good values lie, by parameter.

    Where the curves allow only their own rows, each is proposed once, and `trials`, the number of
    trials that there can be, is that of unlike rows.
    """

    def __init__(
        self,
        curves: Curves,
        seed: int,
        make: MakeSampler = GaussianProcessSampler,
        priors: Mapping[str, Prior] | None = None,
    ) -> None:
        self._curves, self._seed, self._make = curves, seed, make
        # Conditional parameters last: by then it is known whether they count.
        self._names = sorted(curves.space, key=lambda name: name in curves.conditions)
        self.trials, baseline = ENDLESS, self.baseline_params()
        self._source = ConfigurationSource(self._ask, baseline, priors=priors or {})
        if curves.only_rows:
            rows = make_rows(curves.configurations)
            self.trials = len({key for key, _ in rows})
            self._source = RowSource(self._ask, baseline, rows=rows)

    def sampler(
        self, number: int, evidence: Sequence[ObservedTrial], marks: Sequence[int]
    ) -> BaseSampler:
        """Returns the sampler of trial `number`, which learns from `evidence` and compares trials
        at the epochs `marks`.
        """
        source = replace(self._source, number=number)
        if isinstance(source, RowSource):
            source = source.untried(evidence)
        return self._make(source, derived_seed(self._seed, number), number, evidence, marks)

    def is_random(self, number: int) -> bool:
        """Returns whether trial `number` is drawn at random."""
        return is_random_trial(self._make, number, derived_seed(self._seed, number))

    def propose(self, trial: optuna.Trial) -> tuple[dict[str, Any], Point]:
        """Asks the trial's sampler for all parameters, and returns them and the configuration that
        they make.
        """
        params = self._ask(trial)
        return params, Point(params)

    def draw(self, number: int, attempt: int) -> tuple[dict[str, Any], Point]:
        """Returns (parameters, configuration) of number `number` of a screening, the baseline for
        0. Each `attempt` draws another one.
        """
        baseline, source, place = self.baseline_params(), self._source, number + attempt
        if isinstance(source, RowSource):
            rows = [row for _, row in source.rows]
            Random(derived_seed(self._seed, "screening")).shuffle(rows)
            rows.sort(key=lambda row: row != baseline)
            params = dict(rows[place % len(rows)])
        elif place == 0 and baseline is not None:
            params = baseline
        else:
            rng = Random(derived_seed(self._seed, f"screening {number}, {attempt}"))
            params = source.draw(rng).params
        return params, Point(params)

    def baseline_params(self) -> dict[str, Any] | None:
        """Returns the curves' baseline, or `None` where they have none: then trial 0 is a trial
        like the others.
        """
        curves, baseline = self._curves, self._curves.baseline
        if baseline is not None and curves.only_rows:
            baseline = curves.configurations[curves.nearest(baseline)]
        return None if baseline is None else dict(baseline)

    def believed_params(self) -> dict[str, Any] | None:
        """Returns the parameters of the trial after the baseline, if there are `priors`."""
        return self._source.believed(derived_seed(self._seed, "prior"))

    def restore(self, config: dict[str, Any]) -> Point:
        """Returns the configuration with these recorded parameters."""
        return Point(config)

    def _ask(self, trial: optuna.Trial | RandomConfiguration) -> dict[str, Any]:
        conditions, params = self._curves.conditions, dict[str, Any]()
        for name in self._names:
            owner, value = conditions.get(name, (None, None))
            if owner is None or params[owner] == value:
                params[name] = suggest(trial, name, self._curves.space[name])
        return params


def suggest(
    trial: optuna.Trial | RandomConfiguration, name: str, distribution: BaseDistribution
) -> Any:
    """Returns the value that the trial's sampler chooses from a distribution. Raises `TypeError`
    for an unknown kind of distribution.
    """
    if isinstance(trial, RandomConfiguration):
        return trial.answer(name, distribution)
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(name, low, high, step=distribution.step, log=distribution.log)
    if isinstance(distribution, FloatDistribution):
        least, most = distribution.low, distribution.high
        return trial.suggest_float(name, least, most, step=distribution.step, log=distribution.log)
    raise TypeError(f"{name} must be a number's range or a choice, but is {distribution}.")
