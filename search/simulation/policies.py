"""What decides a simulated search: the study of a real one, and the plain policies beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage

from results.records import EpochMetrics
from search.early_stopping.decision import Rules
from search.samplers.gp_sampler import ConfigurationSource, GaussianProcessSampler, MakeSampler
from search.samplers.learning_curves import ObservedTrial
from search.samplers.random_configs import RandomConfiguration
from search.simulation.recorded_curves import Curves
from search.study.proposal import Proposal
from search.study.proposer import derived_seed
from search.study.store import MemoryStore
from search.study.study import Study

ENDLESS = 2**31
"""Trials of a simulated study: its budget, in epochs, ends it earlier."""


@dataclass(frozen=True, slots=True)
class Point:
    """A configuration on recorded curves: its parameters and nothing else."""

    params: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The parameters, for the records."""
        return dict(self.params)


class Policy(Protocol):
    """What the simulated clock drives. `search.study.study.Study` is one as it stands."""

    def ask(self) -> Proposal[Point] | None:
        """A trial for a free worker, or one that has paused after `epochs_done` epochs.

        `None` when there is none for now; the policy is asked again after the next epoch.
        """

    def report(self, number: int, metrics: EpochMetrics) -> object:
        """Takes an epoch; `None` when the trial goes on, anything else frees its worker."""


class PointProposer:
    """Configurations of recorded curves: conditional parameters where they count, all others in
    all trials.
    """

    def __init__(
        self, curves: Curves, seed: int, make: MakeSampler = GaussianProcessSampler
    ) -> None:
        self._curves, self._seed, self._make = curves, seed, make

    def sampler(
        self, number: int, evidence: Sequence[ObservedTrial], marks: Sequence[int]
    ) -> BaseSampler:
        """The sampler of trial `number`."""
        source = ConfigurationSource(self._ask, self.baseline_params())
        return self._make(source, derived_seed(self._seed, number), number, evidence, marks)

    def propose(self, trial: optuna.Trial) -> tuple[dict[str, Any], Point]:
        """(parameters, configuration)."""
        params = self._ask(trial)
        return params, Point(params)

    def baseline_params(self) -> dict[str, Any] | None:
        """The curves' baseline; where there is none, trial 0 is a trial like the others."""
        baseline = self._curves.baseline
        return None if baseline is None else dict(baseline)

    def restore(self, config: dict[str, Any]) -> Point:
        """A configuration from the records."""
        return Point(config)

    def _ask(self, trial: optuna.Trial | RandomConfiguration) -> dict[str, Any]:
        conditions, params = self._curves.conditions, dict[str, Any]()
        # Conditional parameters last: by then it is known whether they count.
        for name in sorted(self._curves.space, key=lambda name: name in conditions):
            owner, value = conditions.get(name, (None, None))
            if owner is None or params[owner] == value:
                params[name] = suggest(trial, name, self._curves.space[name])
        return params


def suggest(
    trial: optuna.Trial | RandomConfiguration, name: str, distribution: BaseDistribution
) -> Any:
    """The value that the trial's sampler chooses in a range."""
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


def gaussian_process_asha(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """The study as `search.run` makes it, but in memory."""
    return study_of(curves, rules, seed, GaussianProcessSampler)


def random_asha(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Random configurations, weak ones stopped at the rungs and by no other rule."""
    only = replace(rules, max_gap=0.0, plateau_patience=0)
    return study_of(curves, only, seed, random_sampler)


def random_search(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Random configurations, each trained to its end."""
    return random_asha(curves, replace(rules, grace=rules.epochs), seed)


def random_sampler(_source: ConfigurationSource, seed: int, *_known: object) -> BaseSampler:
    """The sampler of a trial that learns nothing."""
    return optuna.samplers.RandomSampler(seed=seed)


def study_of(curves: Curves, rules: Rules, seed: int, make: MakeSampler) -> Study[Point]:
    """A study in memory of configurations that `make`'s samplers propose, ended by `rules`."""
    return Study(
        proposer=PointProposer(curves, seed, make),
        rules=rules,
        trials=ENDLESS,
        store=MemoryStore(),
        storage=InMemoryStorage(),
    )


MakePolicy = Callable[[Curves, Rules, int], Policy]
"""(curves, rules, seed) -> a policy at its beginning."""

POLICIES: dict[str, MakePolicy] = {
    "ours": gaussian_process_asha,
    "random + ASHA": random_asha,
    "random": random_search,
}
