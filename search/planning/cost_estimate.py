"""Estimates the cost of a plan by rules of thumb, without measurements."""

from collections.abc import Sequence

from search.hardware.allocation import Resources
from search.planning.plan import Plan
from trainables.catalog import forward_gmacs
from trainables.config import TrialConfig

GMACS_PER_THREAD = 80.0
"""One CPU thread trains at this speed, in 10⁹ multiply-adds a second. It was measured on an AMD
EPYC (Zen 4) at 64 px: ResNet-18 trained 187 images/s in float32 and 310 in bfloat16, ResNet-50 69
and 114.
"""

GMACS_PER_GPU = 10_000.0
"""A current data-centre GPU trains at about this speed with bfloat16, in 10⁹ multiply-adds a
second. This is a rule of thumb and wasn't measured.
"""


def expected_epochs(plan: Plan) -> float:
    """Returns the number of epochs of a whole search if each rung lets exactly its share of the
    trials pass, which is a lower estimate.

    The finalists' epochs are included. For an extended run, only the epochs of its last horizon
    count.
    """
    total, reached, share_left = 0.0, 0, 1.0
    for level in (*plan.rungs, plan.epochs):
        total += share_left * (level - reached)
        reached, share_left = level, share_left / plan.options.reduction_factor
    new = max(plan.options.trials - plan.horizons[-1].first, 0)
    proven = min(plan.horizons[-1].proven, new)
    full = proven + finalist_trainings(plan)
    return full * plan.epochs + (new - proven) * total


def finalist_trainings(plan: Plan) -> int:
    """Returns the number of full trainings that follow the trials: all repeats of each finalist and
    of the baseline.
    """
    options = plan.options
    if not options.finalists:
        return 0
    return (min(options.finalists, options.trials - 1) + 1) * options.repeats


def expected_seconds(plan: Plan, images: int) -> float | None:
    """Returns the rough duration of the search in seconds, for `images` training images, by a rule
    instead of a measurement.

    A training step costs three forward passes: one for the forward pass and two for the backward
    pass. The result is `None` where the network comes from a library and its cost is unknown.
    """
    costs = _step_gmacs(plan.preview)
    if costs is None:
        return None
    rate = sum(kind.concurrent * _gmacs_per_s(kind) for kind in plan.resources.kinds)
    return expected_epochs(plan) * images * sum(costs) / len(costs) / rate


def longest_epoch_s(plan: Plan, images: int) -> float | None:
    """Returns, by the same rule as `expected_seconds`, the seconds of one epoch with `images`
    images for the costliest configuration that is known before the search, or `None` where the
    network's cost is unknown.
    """
    costs = _step_gmacs([plan.bounds.largest, *plan.preview])
    rate = min(_gmacs_per_s(kind) for kind in plan.resources.kinds)
    return images * max(costs) / rate if costs else None


def _step_gmacs(configs: Sequence[TrialConfig]) -> list[float] | None:
    """Returns, for each configuration, the cost of one image in a training step, in 10⁹
    multiply-adds, or `None` where a network's cost is unknown.
    """
    costs = [forward_gmacs(c.network, c.image_size, c.stem) for c in configs]
    known = [3 * cost for cost in costs if cost is not None]
    return known if len(known) == len(costs) else None


def _gmacs_per_s(kind: Resources) -> float:
    """Returns the training speed of one trial with these resources, in 10⁹ multiply-adds a
    second.
    """
    return GMACS_PER_GPU * kind.gpus or GMACS_PER_THREAD * kind.threads
