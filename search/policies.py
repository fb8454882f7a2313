"""What decides a simulated search: the study of a real one, and the plain policies beside it."""

from collections.abc import Callable, Mapping
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
from search.proposing import MakeSampler, make_sampler, trial_seed
from search.recorded import Curves
from search.storage import MemoryStore
from search.study import Proposal, Rules, Study

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
    """What the simulated clock drives. `search.study.Study` is one as it stands."""

    def ask(self) -> Proposal[Point] | None:
        """A trial for a free worker, or one that has paused after `epochs_done` epochs.

        `None` when there is none for now; the policy is asked again after the next epoch.
        """

    def report(self, number: int, metrics: EpochMetrics) -> object:
        """Takes an epoch; `None` when the trial goes on, anything else frees its worker."""


class PointProposer:
    """Configurations of recorded curves, all parameters in all trials, and no baseline."""

    def __init__(self, curves: Curves, seed: int, make: MakeSampler = make_sampler) -> None:
        self._space, self._seed, self._make = curves.space, seed, make

    def sampler(self, number: int) -> BaseSampler:
        """The sampler of trial `number`."""
        return self._make(self._seed, number)

    def propose(self, trial: optuna.Trial) -> tuple[dict[str, Any], Point]:
        """(parameters, configuration)."""
        params = {name: suggest(trial, name, each) for name, each in self._space.items()}
        return params, Point(params)

    def baseline_params(self) -> None:
        """None: nobody has published one, so trial 0 is a trial like the others."""

    def restore(self, config: dict[str, Any]) -> Point:
        """A configuration from the records."""
        return Point(config)


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """The value that the trial's sampler chooses in a range."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(name, low, high, step=distribution.step, log=distribution.log)
    if isinstance(distribution, FloatDistribution):
        least, most = distribution.low, distribution.high
        return trial.suggest_float(name, least, most, step=distribution.step, log=distribution.log)
    raise TypeError(f"{name} must be a number's range or a choice, but is {distribution}.")


def ours(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """The study as `search.run` makes it, but in memory."""
    return _study(curves, rules, seed, make_sampler)


def random_asha(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Random configurations, weak ones stopped at the rungs and by no other rule."""
    only = replace(rules, max_gap=0.0, plateau_patience=0)
    return _study(curves, only, seed, _random_sampler)


def random_search(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Random configurations, each trained to its end."""
    return random_asha(curves, replace(rules, grace=rules.epochs), seed)


def _random_sampler(seed: int, number: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=trial_seed(seed, number))


def _study(curves: Curves, rules: Rules, seed: int, make: MakeSampler) -> Study[Point]:
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
    "ours": ours,
    "random + ASHA": random_asha,
    "random": random_search,
}
