"""What earlier studies have seen of configurations that this one could try, for its sampler.

It stays out of the study: that one's trials, their numbers and its rungs are its own.
"""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from results.store import RunError, write_atomic
from search.proposing import MakeSampler, Proposer, quiet_optuna

EVIDENCE = "evidence.jsonl"
"""A run's own copy: it goes on also when the earlier runs are gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """One trial of an earlier study.

    `origin` says which, for people. `params` are in this study's parameters and in their ranges;
    `values` are val_top1 by epoch, as far as the trial was trained, and `epochs` is where its
    learning-rate schedule ended. `complete` is whether it came that far.
    """

    origin: str
    params: Mapping[str, Any]
    values: Mapping[int, float]
    epochs: int
    complete: bool

    @classmethod
    def from_json(cls, line: str) -> Self:
        """One line of `EVIDENCE`, read back."""
        value = json.loads(line)
        return cls(**{**value, "values": {int(k): v for k, v in value["values"].items()}})

    def frozen(self, ranges: Mapping[str, BaseDistribution]) -> FrozenTrial:
        """The trial as a study tells Optuna: complete with its best value, or pruned."""
        return create_trial(
            state=TrialState.COMPLETE if self.complete else TrialState.PRUNED,
            value=max(self.values.values()) if self.complete else None,
            params=dict(self.params),
            distributions={name: ranges[name] for name in self.params},
            intermediate_values=dict(self.values),
        )


def write_evidence(directory: Path, evidence: Iterable[Evidence]) -> None:
    """Keeps a run's copy."""
    lines = (json.dumps(asdict(each), allow_nan=False) + "\n" for each in evidence)
    write_atomic(directory / EVIDENCE, "".join(lines))


def read_evidence(directory: Path) -> list[Evidence]:
    """A run's copy. Raises `RunError` where it is missing or damaged."""
    path = directory / EVIDENCE
    try:
        return [Evidence.from_json(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"{path} must hold what a warm-started run has learned from, but can't be read "
            f"({error}); restore it from a copy of the run."
        ) from error


def informed(proposer: Proposer, evidence: Iterable[Evidence]) -> MakeSampler:
    """The proposer's samplers, each shown the evidence too."""
    make = proposer.make
    earlier = [each.frozen(proposer.nearest(each.params)[0].distributions) for each in evidence]
    return (lambda seed, number: Informed(make(seed, number), earlier)) if earlier else make


class Informed(BaseSampler):
    """A sampler that is shown `earlier` trials before the study's own, for one trial of it.

    The study itself is left alone: the inner sampler sees a copy of it in memory.
    """

    def __init__(self, inner: BaseSampler, earlier: Sequence[FrozenTrial]) -> None:
        self._inner, self._earlier = inner, earlier
        self._shown: tuple[optuna.Study, FrozenTrial] | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the inner sampler, with the earlier trials."""
        return self._inner.infer_relative_search_space(*self._show(study, trial))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the inner sampler, with the earlier trials."""
        return self._inner.sample_relative(*self._show(study, trial), search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As the inner sampler, with the earlier trials."""
        shown = self._show(study, trial)
        return self._inner.sample_independent(*shown, param_name, param_distribution)

    def _show(self, study: optuna.Study, trial: FrozenTrial) -> tuple[optuna.Study, FrozenTrial]:
        """(all trials but this one, this one numbered after them)."""
        if self._shown is None:
            with quiet_optuna():
                joined = optuna.create_study(storage=InMemoryStorage(), directions=study.directions)
            others = [
                each
                for each in study.get_trials(deepcopy=False)
                if each.number != trial.number and each.state is not TrialState.WAITING
            ]
            for each in (*self._earlier, *others):
                # Optuna refuses a value outside of its range, as a baseline's can be.
                with suppress(ValueError):
                    joined.add_trial(each)
            self._shown = joined, copy.copy(trial)
            self._shown[1].number = len(joined.get_trials(deepcopy=False))
        joined, current = self._shown
        current.params, current.distributions = trial.params, trial.distributions
        return joined, current
