"""Our search with beliefs on where the good configurations of a table lie, right and wrong ones."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from random import Random
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from results.analysis.searched_ranges import Prior
from search.early_stopping.decision import Rules
from search.samplers.gp_sampler import GaussianProcessSampler
from search.simulation.points import Point
from search.simulation.policies import MakePolicy, study_of
from search.simulation.recorded_curves import Curves
from search.spaces._ranges import USUAL_AUGMENTATION
from search.study.study import Study

CONFIDENCES = (0.25, 0.5, 0.75)

TENDENCIES = {"freeze_depth": math.inf, "dropout": 0.0, "batch_size": 16, "lr": 1e-3}
"""What was best on average in 1,456 published fine-tunings of 24 pretrained networks on 30 sets of
few images (Quick-Tune, ICLR 2024): all stages frozen, no dropout, small batches, learning rates
near 1e-3. Where a range ends before a value, its end stands for it.
"""


def right(order: list[int], seed: int) -> int:
    """The table's best row."""
    return order[0]


def good(order: list[int], seed: int) -> int:
    """A row of the best tenth, another one for each seed."""
    return Random(seed).choice(order[: max(1, len(order) // 10)])


def wrong(order: list[int], seed: int) -> int:
    """A row of the worst tenth, another one for each seed."""
    return Random(seed).choice(order[-max(1, len(order) // 10) :])


TOLD: dict[str, Mapping[str, float]] = {
    "published tendencies": TENDENCIES,
    "usual augmentation": {name: each.value for name, each in USUAL_AUGMENTATION.items()},
}
BELIEFS: dict[str, Callable[[list[int], int], int]] = {"right": right, "good": good, "wrong": wrong}


def policy_name(belief: str, confidence: float) -> str:
    return f"ours, {belief} prior {confidence:g}"


def with_prior(
    belief: Callable[[list[int], int], int],
    confidence: float,
    curves: Curves,
    rules: Rules,
    seed: int,
) -> Study[Point]:
    """Our study, whose sampler is sure to `confidence` of each value of one row of the table."""
    return _believing(believed(belief, curves, seed), confidence, curves, rules, seed)


def with_values(
    believed: Mapping[str, float],
    confidence: float,
    curves: Curves,
    rules: Rules,
    seed: int,
) -> Study[Point]:
    """Our study, whose sampler is sure to `confidence` of each of the values of parameters that the
    table varies.
    """
    space = curves.space
    values = {name: _nearest(space[name], best) for name, best in believed.items() if name in space}
    return _believing(values, confidence, curves, rules, seed)


def _nearest(axis: BaseDistribution, value: float) -> Any:
    if isinstance(axis, CategoricalDistribution):
        return min(axis.choices, key=lambda choice: abs(float(choice or 0) - value))
    assert isinstance(axis, IntDistribution | FloatDistribution)
    return min(max(value, axis.low), axis.high)


def _believing(
    values: dict[str, Any], confidence: float, curves: Curves, rules: Rules, seed: int
) -> Study[Point]:
    priors = {name: Prior(value, confidence) for name, value in values.items()}
    return study_of(curves, rules, seed, GaussianProcessSampler, priors)


def believed(belief: Callable[[list[int], int], int], curves: Curves, seed: int) -> dict[str, Any]:
    """The parameters of the row that a belief names."""
    ends = np.nan_to_num(curves.val[:, -1], nan=-np.inf)
    row = belief(np.argsort(-ends, kind="stable").tolist(), seed)
    return curves.encoding.decode(curves.points[row])


POLICIES: dict[str, MakePolicy] = {
    **{
        policy_name(name, confidence): partial(with_prior, belief, confidence)
        for (name, belief), confidence in product(BELIEFS.items(), CONFIDENCES)
    },
    **{
        f"ours, {name} {confidence:g}": partial(with_values, values, confidence)
        for (name, values), confidence in product(TOLD.items(), CONFIDENCES)
    },
}
