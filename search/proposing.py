"""From a space to configurations: the sampler, the baseline, and what the user has fixed."""

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import optuna
from optuna.distributions import BaseDistribution

from search.drawing import Drawing
from search.evidence import Evidence
from search.sampler import ModelSampler, Source
from search.space import Space, suggested
from trainables.conditional import CONDITIONAL, LEFT_OUT
from trainables.config import TrialConfig


class Configuration(Protocol):
    """What is tried: a `TrialConfig`, or a point on recorded curves."""

    def to_dict(self) -> dict[str, Any]:
        """The configuration for the records."""


C = TypeVar("C", bound=Configuration)
C_co = TypeVar("C_co", bound=Configuration, covariant=True)


class Proposes(Protocol[C_co]):
    """Makes configurations. `search.proposing.Proposer` makes them of a space."""

    def sampler(
        self, number: int, evidence: Sequence[Evidence], marks: Sequence[int]
    ) -> optuna.samplers.BaseSampler:
        """The sampler of trial `number`, after what is known of those before it.

        `marks` are the epochs at which trials are compared, the last one included.
        """

    def propose(self, trial: optuna.Trial) -> tuple[dict[str, Any], C_co]:
        """(searched parameters, whole configuration)."""

    def baseline_params(self) -> dict[str, Any] | None:
        """The baseline's parameters; `None` where there is none."""

    def restore(self, config: dict[str, Any]) -> C_co:
        """A configuration from the records."""


MakeSampler = Callable[[int, int], optuna.samplers.BaseSampler]
"""(seed, trial number) -> the sampler of that trial."""


def trial_seed(seed: int, number: int) -> int:
    """A seed of 32 bits for one trial of a study."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4])


class Proposer:
    """Configurations of a space, with some fields fixed for every trial.

    `fixed` holds values of `TrialConfig` fields that no trial may vary: a parameter of the
    space that stands there is not searched. `make` gives each trial's sampler, where it isn't
    `ModelSampler`.
    """

    def __init__(
        self, space: Space, fixed: Mapping[str, Any], seed: int, make: MakeSampler | None = None
    ) -> None:
        self.space, self.fixed, self.seed = space, dict(fixed), seed
        self._make = make

    def sampler(
        self, number: int, evidence: Sequence[Evidence] = (), marks: Sequence[int] = ()
    ) -> optuna.samplers.BaseSampler:
        """A fresh sampler whose choices depend on seed, trial number and evidence alone.

        Optuna doesn't store a sampler's random state; without this, a resumed study would
        propose other trials than an uninterrupted one.
        """
        if self._make is not None:
            return self._make(self.seed, number)
        seed = trial_seed(self.seed, number)
        source = Source(self._ask, self.baseline_params())
        return ModelSampler(source, seed, number, evidence, marks)

    def _ask(self, drawing: Drawing) -> None:
        suggested(self.space, _Fixing(drawing, self.fixed))  # type: ignore[arg-type]

    def propose(self, trial: optuna.Trial) -> tuple[dict[str, Any], TrialConfig]:
        """(searched parameters, whole configuration). Raises `ConfigError`."""
        values = suggested(self.space, _Fixing(trial, self.fixed))  # type: ignore[arg-type]
        return {name: values.get(name) for name in trial.params}, self._config(values)

    def restore(self, config: dict[str, Any]) -> TrialConfig:
        """A configuration from the records. Raises `ConfigError`."""
        return TrialConfig.from_record(config)

    def baseline_params(self) -> dict[str, Any]:
        """The baseline in the space's parameters, without those that are fixed.

        Conditional ones that the baseline doesn't give, as where they count because of what is
        fixed, are what they count as when left out; outside of their range they are missing.
        """
        given = self.space.baseline.to_dict()
        trial = optuna.trial.FixedTrial(LEFT_OUT | given)
        with warnings.catch_warnings():  # the study warns too, of what the baseline gives
            warnings.simplefilter("ignore")
            suggested(self.space, _Fixing(trial, self.fixed))  # type: ignore[arg-type]
        ranges = trial.distributions
        return {
            name: value
            for name, value in trial.params.items()
            if name in given or ranges[name]._contains(ranges[name].to_internal_repr(value))
        }

    def searchable(self) -> set[str]:
        """Names of the space's parameters that the baseline has, fixed ones included."""
        return set(Proposer(self.space, {}, self.seed).baseline_params())

    def preview(self, count: int) -> tuple[list[TrialConfig], dict[str, BaseDistribution]]:
        """The first configurations, as a search would try them, and every parameter's range.

        Exact up to `STARTUP_TRIALS`, since those depend on no result. Raises `ConfigError`.
        """
        with quiet_optuna():
            study = optuna.create_study(direction="maximize")
        study.enqueue_trial(self.baseline_params())
        configs: list[TrialConfig] = []
        ranges: dict[str, BaseDistribution] = {}
        for number in range(count):
            study.sampler = self.sampler(number)
            trial = study.ask()
            configs.append(self.propose(trial)[1])
            ranges |= trial.distributions
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return configs, ranges

    def _config(self, values: Mapping[str, Any]) -> TrialConfig:
        """The baseline with what is searched and what is fixed.

        A conditional field of the baseline, or a fixed one beside a choice that is searched, is
        left out where it doesn't count. One that the space or the user gives without need stays,
        and is refused by `TrialConfig`.
        """
        chosen = self.space.baseline.to_dict() | dict(values) | self.fixed
        for name, (owner, value) in CONDITIONAL.items():
            searched = owner in values and owner not in self.fixed
            given = name in values or (name in self.fixed and not searched)
            if chosen.get(owner) != value and not given:
                chosen.pop(name, None)
        return TrialConfig.from_dict(chosen)


class _Fixing:
    """An Optuna trial that answers for fixed parameters without asking."""

    def __init__(self, trial: optuna.trial.BaseTrial | Drawing, fixed: Mapping[str, Any]) -> None:
        self._trial, self._fixed = trial, fixed

    def __getattr__(self, attribute: str) -> Any:
        method = getattr(self._trial, attribute)
        if not attribute.startswith("suggest_"):
            return method

        def suggest(name: str, *args: Any, **kwargs: Any) -> Any:
            return self._fixed[name] if name in self._fixed else method(name, *args, **kwargs)

        return suggest


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna logs every study and trial; our own monitor tells the same."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
