"""Syne Tune's schedulers for the simulated clock, where `syne-tune` is installed.

It isn't among our requirements: its surrogates bring packages of their own. In an environment
with it and with Optuna, PyYAML, filelock and psutil the benchmark searches with these too.
"""

from datetime import datetime
from importlib.util import find_spec
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from results.records import EpochMetrics, TrainingId
from search.early_stopping.decision import Rules
from search.simulation.points import Point
from search.simulation.policies import MakePolicy, Policy
from search.simulation.recorded_curves import Curves
from search.study.proposer import Proposal

INSTALLED = find_spec("syne_tune") is not None


class SyneTune:
    """One of `syne_tune.optimizer.baselines`, with the rungs that our study has."""

    def __init__(self, name: str, curves: Curves, rules: Rules, seed: int) -> None:
        import numpy as np
        from syne_tune.backend.trial_status import Trial
        from syne_tune.optimizer import baselines

        np.random.seed(seed)  # brackets are dealt out by the global generator
        self._trial = Trial
        self._scheduler = getattr(baselines, name)(
            {name: _domain(each) for name, each in curves.space.items()},
            metric="val",
            time_attr="epoch",
            max_t=curves.epochs,
            do_minimize=False,
            random_seed=seed,
            grace_period=rules.grace,
            reduction_factor=rules.factor,
        )
        self._trials: list[Any] = []

    def ask(self) -> Proposal[Point] | None:
        suggestion = self._scheduler.suggest()
        if suggestion is None:
            return None
        number = len(self._trials)
        trial = self._trial(number, suggestion.config, datetime.fromtimestamp(0))  # noqa: DTZ006
        self._scheduler.on_trial_add(trial)
        self._trials.append(trial)
        return Proposal(training=TrainingId(number), config=Point(suggestion.config))

    def report(self, number: int, metrics: EpochMetrics) -> str | None:
        result = {"val": metrics.val_top1, "epoch": metrics.epoch}
        decision = self._scheduler.on_trial_result(self._trials[number], result)
        return None if decision == "CONTINUE" else str(decision)


def _domain(distribution: BaseDistribution) -> Any:
    """A range in Syne Tune's words."""
    from syne_tune import config_space

    if isinstance(distribution, CategoricalDistribution):
        return config_space.choice(list(distribution.choices))
    if isinstance(distribution, IntDistribution):
        whole = config_space.lograndint if distribution.log else config_space.randint
        return whole(distribution.low, distribution.high)
    if isinstance(distribution, FloatDistribution):
        number = config_space.loguniform if distribution.log else config_space.uniform
        return number(distribution.low, distribution.high)
    raise TypeError(f"{distribution} is neither a number's range nor a choice.")


def _maker(name: str) -> MakePolicy:
    def make(curves: Curves, rules: Rules, seed: int) -> Policy:
        return SyneTune(name, curves, rules, seed)

    return make


POLICIES: dict[str, MakePolicy] = {
    f"Syne Tune: {name}": _maker(name) for name in ("ASHA", "BOHB", "ASHACQR") if INSTALLED
}
