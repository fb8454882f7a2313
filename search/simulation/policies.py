"""Defines the policies that decide simulated searches: the study of a real search, and the plain
policies that it is compared with.
"""

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

from results.analysis.searched_ranges import Prior
from results.records import EpochMetrics
from search.early_stopping.decision import Rules
from search.samplers.gp_sampler import GaussianProcessSampler
from search.samplers.learning_curves import ObservedTrial
from search.samplers.random_configs import RandomConfiguration
from search.samplers.random_sampler import make_random_sampler
from search.samplers.source import ConfigurationSource, MakeSampler
from search.simulation.recorded_curves import Curves
from search.simulation.row_source import RowSource, make_row_sampler, make_rows
from search.study.proposal import Proposal
from search.study.proposer import derived_seed, is_random_trial
from search.study.store import MemoryStore
from search.study.study import Study

ENDLESS = 2**31
"""A simulated study has this many trials, because its budget, in epochs, ends it earlier."""


@dataclass(frozen=True, slots=True)
class Point:
    """Holds a configuration on recorded curves, which consists of its parameters alone."""

    params: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Returns the parameters, for the records."""
        return dict(self.params)


class Policy(Protocol):
    """Decides a simulated search: it proposes trials and ends them. `search.study.study.Study`
    fulfils this protocol as it is.
    """

    def ask(self) -> Proposal[Point] | None:
        """Returns a trial for a free worker: a new one, or one that paused after `epochs_done`
        epochs.

        Returns `None` when there is no trial for now; the policy is asked again after the next
        epoch.
        """

    def report(self, number: int, metrics: EpochMetrics) -> object:
        """Records an epoch of trial `number`. Returns `None` when the trial continues; anything
        else frees its worker.
        """


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
        return is_random_trial(self._make, self._source, self._seed, number)

    def propose(self, trial: optuna.Trial) -> tuple[dict[str, Any], Point]:
        """Asks the trial's sampler for all parameters, and returns them and the configuration that
        they make.
        """
        params = self._ask(trial)
        return params, Point(params)

    def baseline_params(self) -> dict[str, Any] | None:
        """Returns the curves' baseline, or `None` where they have none: then trial 0 is a trial
        like the others.
        """
        curves, baseline = self._curves, self._curves.baseline
        if baseline is not None and curves.only_rows:
            baseline = curves.configurations[curves.nearest(baseline)]
        return None if baseline is None else dict(baseline)

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


def gaussian_process_asha(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Returns a study as `search.run` makes one, with the Gaussian-process sampler and all rules,
    but in memory and on recorded curves.
    """
    return study_of(curves, rules, seed, GaussianProcessSampler)


def random_asha(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Returns a study of random configurations, which only the rungs stop."""
    make = make_row_sampler if curves.only_rows else make_random_sampler
    return study_of(curves, rules.only_rungs(), seed, make)


def random_search(curves: Curves, rules: Rules, seed: int) -> Study[Point]:
    """Returns a study of random configurations, each of which is trained to its last epoch."""
    return random_asha(curves, replace(rules, grace=rules.epochs), seed)


def study_of(
    curves: Curves,
    rules: Rules,
    seed: int,
    make: MakeSampler,
    priors: Mapping[str, Prior] | None = None,
) -> Study[Point]:
    """Returns a study in memory whose configurations come from `make`'s samplers, which know the
    `priors`, and whose trials end by `rules`.
    """
    proposer = PointProposer(curves, seed, make, priors)
    return Study(
        proposer=proposer,
        rules=rules,
        trials=proposer.trials,
        store=MemoryStore(),
        storage=InMemoryStorage(),
    )


MakePolicy = Callable[[Curves, Rules, int], Policy]
"""A function of this type makes a new policy from (curves, rules, seed)."""

POLICIES: dict[str, MakePolicy] = {
    "ours": gaussian_process_asha,
    "random + ASHA": random_asha,
    "random": random_search,
}
"""The command `search.simulate` knows these policies by their names."""
