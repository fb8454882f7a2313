"""Makes configurations from a space, its sampler, its baseline and the user's fixed values, and
defines what a study proposes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Any, Generic, Protocol, TypeVar

import optuna
from optuna.distributions import BaseDistribution

from results.analysis.rung_values import quiet_optuna
from results.records import TrainingId, move_weights
from search.samplers.gp_sampler import GaussianProcessSampler, is_random_trial
from search.samplers.learning_curves import ObservedTrial
from search.samplers.random_configs import RandomConfiguration
from search.samplers.source import ConfigurationSource, MakeSampler, derived_seed
from search.space import Space, ask_space, suggested
from search.study.duplicates import EXHAUSTED_AFTER, Configuration, configuration_key
from search.study.horizons import BASELINE_ORIGIN, Horizon, horizon_of
from search.study.optuna_patches import BaselineTrial, PreferringTrial, contains, quiet_ranges
from search.study.searched_ranges import PROBES, Drawn, Probe, describe_outside
from trainables.conditional_fields import CONDITIONAL, CONDITIONAL_DEFAULTS
from trainables.config import TrialConfig

C = TypeVar("C", bound=Configuration)
C_co = TypeVar("C_co", bound=Configuration, covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal(Generic[C]):
    """Proposes a training, of which `epochs_done` epochs are already recorded, after a resume.

    `baseline` is true for each training of the baseline, of any length. `images` is the share of
    the training images that it sees. A user has asked for the configuration `by_hand`.
    """

    training: TrainingId
    config: C
    epochs_done: int = 0
    baseline: bool = False
    images: float = 1.0
    by_hand: bool = False

    @property
    def number(self) -> int:
        """Returns the number of the trial."""
        return self.training.number


class ConfigurationProposer(Protocol[C_co]):
    """Makes configurations, as `search.study.proposer.Proposer` does from a space."""

    def sampler(
        self, number: int, evidence: Sequence[ObservedTrial], marks: Sequence[int]
    ) -> optuna.samplers.BaseSampler:
        """Returns the sampler of the trial that `number` others precede, earlier runs' trials
        included if the study learns from some.

        evidence: what these trials have shown.
        marks: the epochs at which trials are compared, the last one included.
        """

    def is_random(self, number: int) -> bool:
        """Returns whether the trial that `number` others precede is drawn at random, whatever these
        have shown.
        """

    def propose(self, trial: optuna.Trial) -> tuple[dict[str, Any], C_co]:
        """Returns (searched parameters, whole configuration) of a trial."""

    def baseline_params(self) -> dict[str, Any] | None:
        """Returns the baseline's parameters, or `None` where there is no baseline."""

    def believed_params(self) -> dict[str, Any] | None:
        """Returns the parameters of the trial after it, if the space's author believes in some."""

    def restore(self, config: dict[str, Any]) -> C_co:
        """Returns the configuration that the records hold as `config`."""


class Proposer:
    """Proposes configurations of a space, with some fields fixed for every trial.

    fixed: values of `TrialConfig` fields that no trial may vary; such a parameter of the space
        isn't searched.
    horizons: the length of each trial; without any, it is the baseline's.
    make: returns each trial's sampler.
    watch: is called with each trial, after the space was asked for all of its parameters.
    """

    def __init__(
        self,
        space: Space,
        fixed: Mapping[str, Any],
        seed: int,
        horizons: Sequence[Horizon] = (),
        make: MakeSampler = GaussianProcessSampler,
        watch: Callable[[Drawn], object] = lambda _: None,
    ) -> None:
        self.space, self.seed = space, seed
        self.fixed: Mapping[str, Any] = dict(fixed)
        self.horizons = tuple(horizons)
        self._make, self._watch = make, watch

    def sampler(
        self, number: int, evidence: Sequence[ObservedTrial] = (), marks: Sequence[int] = ()
    ) -> optuna.samplers.BaseSampler:
        """Returns a new sampler whose choices depend on seed, trial number and evidence alone.

        Optuna doesn't store a sampler's random state: with one sampler for all trials, a resumed
        study would propose other trials than an uninterrupted one.
        """
        source = replace(self._source, number=number)
        return self._make(source, derived_seed(self.seed, number), number, evidence, marks)

    def is_random(self, number: int) -> bool:
        """Returns whether the trial that `number` others precede is drawn at random."""
        return is_random_trial(self._make, number, derived_seed(self.seed, number))

    @cached_property
    def _source(self) -> ConfigurationSource:
        return ConfigurationSource(self._ask, self.baseline_params(), priors=self.space.prior)

    def probe(self, count: int = PROBES) -> list[Probe]:
        """Returns `count` random configurations of the space, always the same ones. Raises
        `SpaceError`.
        """
        probes = [Probe(number) for number in range(count)]
        with quiet_ranges():  # a step that doesn't divide its range is a probe's fault
            for each in probes:
                each.compare(self._ask(each))
        return probes

    def repeat(self, params: Mapping[str, Any]) -> Probe:
        """Returns the configuration that the space gives where a trial has the values `params`,
        whether or not they lie in their ranges. Raises `SpaceError`.
        """
        probe = Probe(0, params)
        self._ask(probe)
        return probe

    def _ask(self, drawing: RandomConfiguration) -> dict[str, Any]:
        return ask_space(self.space, drawing, self.fixed)

    def propose(self, trial: optuna.trial.BaseTrial) -> tuple[dict[str, Any], TrialConfig]:
        """Returns (searched parameters, whole configuration) of a trial. Raises `ConfigError`."""
        with quiet_ranges():
            values = suggested(self.space, trial, self.fixed)
        self._watch(trial)
        config = self.complete(values, trial.number)
        return {name: values.get(name) for name in trial.params}, config

    def draw(self, number: int, attempt: int = 0) -> tuple[dict[str, Any], TrialConfig]:
        """Returns (searched parameters, whole configuration) of number `number` of a screening, the
        baseline for 0. Each `attempt` draws another one. Raises `ConfigError` and `SpaceError`.
        """
        params = self.baseline_params()
        if number or attempt:
            source = replace(self._source, number=number)
            seed = derived_seed(self.seed, f"screening {number}, {attempt}")
            params = source.draw(Random(seed)).params
        return self.propose(optuna.trial.FixedTrial(CONDITIONAL_DEFAULTS | params))

    def restore(self, config: dict[str, Any]) -> TrialConfig:
        """Returns the configuration that the records hold as `config`, with the weights that the
        search fixes: no trial varies them, and records may come from elsewhere. Raises
        `ConfigError`.
        """
        own = {"weights": self.fixed["weights"]} if "weights" in self.fixed else {}
        return TrialConfig.from_record({**config, **own})

    def move_weights(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the recorded configuration with the present path of its file of weights. One that
        doesn't start from such a file stays as it is.
        """
        return move_weights(config, self.fixed.get("weights"))

    def baseline_params(self) -> dict[str, Any]:
        """Returns the baseline's values of the space's parameters that aren't fixed.

        A conditional parameter that the baseline lacks, but that counts because of a fixed value,
        has its default value, and is missing where that lies outside of its range.
        """
        trial, given = self._baseline_trial(), self.space.baseline.to_dict()
        return {
            name: value
            for name, value in trial.params.items()
            if name in given or contains(trial.distributions[name], value)
        }

    def believed_params(self) -> dict[str, Any] | None:
        """Returns what `ConfigurationSource.believed` says of the space's priors."""
        return self._source.believed(derived_seed(self.seed, "prior"))

    def baseline_errors(self) -> list[str]:
        """Returns one sentence for each range that doesn't hold the baseline's value."""
        trial, given = self._baseline_trial(), self.space.baseline.to_dict()
        return [
            describe_outside(name, trial.distributions[name], value)
            for name, value in trial.params.items()
            if name in given and not contains(trial.distributions[name], value)
        ]

    def _baseline_trial(self) -> optuna.trial.FixedTrial:
        own = self.space.baseline.network
        # Of another network, the baseline is no more than the place from which a search starts.
        other = self.fixed.get("network", own) != own
        trial = BaselineTrial(self._baseline_values(), nearest=other)
        with quiet_ranges():
            suggested(self.space, trial, self.fixed)
        return trial

    def _baseline_values(self) -> dict[str, Any]:
        return CONDITIONAL_DEFAULTS | self.space.baseline.to_dict()

    def of_network(self, network: str) -> "Proposer":
        """Returns the proposer of those trials that have this network."""
        fixed = {**self.fixed, "network": network}
        return Proposer(self.space, fixed, self.seed, self.horizons, self._make)

    def nearest(self, values: Mapping[str, Any]) -> tuple[optuna.trial.FixedTrial, TrialConfig]:
        """Returns (trial, configuration) of this search nearest to `values` of `TrialConfig`.

        Each searched parameter has the value in `values` if that lies in its range, or else the
        baseline's, or else, beside another network than the baseline's, the one nearest to it.
        Raises `ConfigError` where these values contradict each other.
        """
        trial = PreferringTrial(values, self._baseline_values(), self.fixed.get("network"))
        return trial, self.propose(trial)[1]

    def searchable(self) -> set[str]:
        """Returns the names of the parameters that the baseline has, fixed ones included."""
        return set(Proposer(self.space, {}, self.seed).baseline_params())

    def preview(self, count: int) -> tuple[list[TrialConfig], dict[str, BaseDistribution]]:
        """Returns the first `count` configurations of a search, and every parameter's range.

        The configurations are exact up to `STARTUP_TRIALS`, because those depend on no result.
        There are fewer than `count` where the space has fewer. Raises `ConfigError`.
        """
        with quiet_optuna():
            study = optuna.create_study(direction="maximize")
        for params in (self.baseline_params(), *self._queued_at_first()):
            study.enqueue_trial(params)
        configs: list[TrialConfig] = []
        ranges: dict[str, BaseDistribution] = {}
        seen: set[str] = set()
        for number in range(count + EXHAUSTED_AFTER):
            if len(configs) == count:
                break
            study.sampler = self.sampler(number)
            trial = study.ask()
            params, config = self.propose(trial)
            ranges |= trial.distributions
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            if (key := configuration_key(params, config)) not in seen:
                seen.add(key)
                configs.append(config)
        return configs, ranges

    def _queued_at_first(self) -> list[dict[str, Any]]:
        """Returns the parameters that follow the baseline before the sampler is used."""
        if not self.horizons:
            return [params for params in [self.believed_params()] if params]
        queue = self.horizons[0].queue
        return [dict(each.params) for each in queue if each.origin != BASELINE_ORIGIN]

    def complete(self, values: Mapping[str, Any], number: int = 0) -> TrialConfig:
        """Returns the baseline with searched and fixed values. Raises `ConfigError`.

        A conditional field of the baseline, or a fixed one that depends on a searched choice, is
        left out where it doesn't count. If the space or the user sets one needlessly, it stays and
        `TrialConfig` refuses it. Where the space chooses the weights, and none here, nothing is
        frozen unless the space says so.
        """
        chosen = {**self.space.baseline.to_dict(), **values, **self.fixed}
        if "weights" in values and chosen["weights"] == "none" and "freeze_depth" not in values:
            chosen["freeze_depth"] = 0
        if self.horizons:
            chosen["epochs"] = horizon_of(self.horizons, number).epochs
        for name, (owner, value) in CONDITIONAL.items():
            searched = owner in values and owner not in self.fixed
            given = name in values or (name in self.fixed and not searched)
            if chosen.get(owner) != value and not given:
                chosen.pop(name, None)
        return TrialConfig.from_dict(chosen)
