"""From a space to configurations: the sampler, the baseline, and what the user has fixed."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import optuna
from optuna.distributions import BaseDistribution

from results.analysis.rung_values import quiet_optuna
from search.samplers.gp_sampler import ConfigurationSource, GaussianProcessSampler, MakeSampler
from search.samplers.learning_curves import ObservedTrial
from search.samplers.random_configs import RandomConfiguration
from search.space import Space, suggested
from search.study.duplicates import EXHAUSTED_AFTER, Configuration, configuration_key
from search.study.horizons import BASELINE_ORIGIN, Horizon, horizon_of
from search.study.optuna_patches import PreferringTrial, contains
from trainables.conditional_fields import CONDITIONAL, CONDITIONAL_DEFAULTS
from trainables.config import TrialConfig

C = TypeVar("C", bound=Configuration)
C_co = TypeVar("C_co", bound=Configuration, covariant=True)


class ConfigurationProposer(Protocol[C_co]):
    """Makes configurations. `search.study.proposer.Proposer` makes them of a space."""

    def sampler(
        self, number: int, evidence: Sequence[ObservedTrial], marks: Sequence[int]
    ) -> optuna.samplers.BaseSampler:
        """The sampler of a trial, after what is known of the `number` before it.

        Those of earlier runs are counted too, where the study has learned from some. `marks` are
        the epochs at which trials are compared, the last one included.
        """

    def propose(self, trial: optuna.Trial) -> tuple[dict[str, Any], C_co]:
        """(searched parameters, whole configuration)."""

    def baseline_params(self) -> dict[str, Any] | None:
        """The baseline's parameters; `None` where there is none."""

    def restore(self, config: dict[str, Any]) -> C_co:
        """A configuration from the records."""


def derived_seed(seed: int, what: object) -> int:
    """A seed of 32 bits for one part of a study: a trial by its number, say."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{what}".encode()).digest()[:4])


class Proposer:
    """Configurations of a space, with some fields fixed for every trial.

    `fixed` holds values of `TrialConfig` fields that no trial may vary: a parameter of the
    space that stands there is not searched. `horizons`, where given, say how long each trial is.
    `make` gives each trial's sampler.
    """

    def __init__(
        self,
        space: Space,
        fixed: Mapping[str, Any],
        seed: int,
        horizons: Sequence[Horizon] = (),
        make: MakeSampler = GaussianProcessSampler,
    ) -> None:
        self.space, self.seed = space, seed
        self.fixed: Mapping[str, Any] = dict(fixed)
        self.horizons = tuple(horizons)
        self._make = make

    def sampler(
        self, number: int, evidence: Sequence[ObservedTrial] = (), marks: Sequence[int] = ()
    ) -> optuna.samplers.BaseSampler:
        """A fresh sampler whose choices depend on seed, trial number and evidence alone.

        Optuna doesn't store a sampler's random state; without this, a resumed study would
        propose other trials than an uninterrupted one.
        """
        source = ConfigurationSource(self._ask, self.baseline_params())
        return self._make(source, derived_seed(self.seed, number), number, evidence, marks)

    def _ask(self, drawing: RandomConfiguration) -> None:
        suggested(self.space, _FixingTrial(drawing, self.fixed))  # type: ignore[arg-type]

    def propose(self, trial: optuna.trial.BaseTrial) -> tuple[dict[str, Any], TrialConfig]:
        """(searched parameters, whole configuration). Raises `ConfigError`."""
        values = suggested(self.space, _FixingTrial(trial, self.fixed))  # type: ignore[arg-type]
        return {name: values.get(name) for name in trial.params}, self._config(values, trial.number)

    def restore(self, config: dict[str, Any]) -> TrialConfig:
        """A configuration from the records. Raises `ConfigError`."""
        return TrialConfig.from_record(config)

    def baseline_params(self) -> dict[str, Any]:
        """The baseline in the space's parameters, without those that are fixed.

        Conditional ones that the baseline doesn't give, as where they count because of what is
        fixed, are what they count as when left out; outside of their range they are missing.
        """
        given = self.space.baseline.to_dict()
        trial = optuna.trial.FixedTrial(CONDITIONAL_DEFAULTS | given)
        with warnings.catch_warnings():  # the study warns too, of what the baseline gives
            warnings.simplefilter("ignore")
            suggested(self.space, _FixingTrial(trial, self.fixed))  # type: ignore[arg-type]
        return {
            name: value
            for name, value in trial.params.items()
            if name in given or contains(trial.distributions[name], value)
        }

    def nearest(self, values: Mapping[str, Any]) -> tuple[optuna.trial.FixedTrial, TrialConfig]:
        """(trial, configuration) of this search that come nearest to `values` of `TrialConfig`.

        Each searched parameter has its value there where that lies in its range, else the
        baseline's. Raises `ConfigError` where these don't go together.
        """
        trial = PreferringTrial(values, CONDITIONAL_DEFAULTS | self.space.baseline.to_dict())
        with warnings.catch_warnings():  # of a baseline outside of a range
            warnings.simplefilter("ignore")
            return trial, self.propose(trial)[1]

    def searchable(self) -> set[str]:
        """Names of the space's parameters that the baseline has, fixed ones included."""
        return set(Proposer(self.space, {}, self.seed).baseline_params())

    def preview(self, count: int) -> tuple[list[TrialConfig], dict[str, BaseDistribution]]:
        """The first configurations, as a search would try them, and every parameter's range.

        Exact up to `STARTUP_TRIALS`, since those depend on no result; fewer than `count` where
        the space has fewer. Raises `ConfigError`.
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
            if (what := configuration_key(params, config)) not in seen:
                seen.add(what)
                configs.append(config)
        return configs, ranges

    def _queued_at_first(self) -> list[dict[str, Any]]:
        """What follows the baseline before the sampler is asked."""
        queue = self.horizons[0].queue if self.horizons else ()
        return [dict(each.params) for each in queue if each.origin != BASELINE_ORIGIN]

    def _config(self, values: Mapping[str, Any], number: int) -> TrialConfig:
        """The baseline with what is searched and what is fixed.

        A conditional field of the baseline, or a fixed one beside a choice that is searched, is
        left out where it doesn't count. One that the space or the user gives without need stays,
        and is refused by `TrialConfig`.
        """
        chosen = {**self.space.baseline.to_dict(), **values, **self.fixed}
        if self.horizons:
            chosen["epochs"] = horizon_of(self.horizons, number).epochs
        for name, (owner, value) in CONDITIONAL.items():
            searched = owner in values and owner not in self.fixed
            given = name in values or (name in self.fixed and not searched)
            if chosen.get(owner) != value and not given:
                chosen.pop(name, None)
        return TrialConfig.from_dict(chosen)


class _FixingTrial:
    """An Optuna trial that answers for fixed parameters without asking."""

    def __init__(
        self, trial: optuna.trial.BaseTrial | RandomConfiguration, fixed: Mapping[str, Any]
    ) -> None:
        self._trial, self._fixed = trial, fixed

    def __getattr__(self, attribute: str) -> Any:
        method = getattr(self._trial, attribute)
        if not attribute.startswith("suggest_"):
            return method

        def suggest(name: str, *args: Any, **kwargs: Any) -> Any:
            return self._fixed[name] if name in self._fixed else method(name, *args, **kwargs)

        return suggest
