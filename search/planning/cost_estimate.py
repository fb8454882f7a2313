"""What a plan will cost, by rules and not by measurements."""

from collections.abc import Sequence

from search.hardware.allocation import Resources
from search.planning.plan import Plan
from trainables.catalog import forward_gmacs
from trainables.config import TrialConfig

GMACS_PER_THREAD = 80.0
"""Training speed of one CPU thread, in 10⁹ multiply-adds a second: measured on an AMD EPYC (Zen 4)
at 64 px: ResNet-18 187 images/s in float32 and 310 in bfloat16, ResNet-50 69 and 114."""

GMACS_PER_GPU = 10_000.0
"""A rule of thumb for a current data-centre GPU with bfloat16; not measured."""


def expected_epochs(plan: Plan) -> float:
    """Epochs of a whole search when each rung lets exactly its share pass: a lower estimate.

    Of an extended run, those of its last horizon. The finalists' are in it.
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
    """How many full trainings follow the trials: of each finalist and of the baseline."""
    options = plan.options
    if not options.finalists:
        return 0
    return (min(options.finalists, options.trials - 1) + 1) * options.repeats


def expected_seconds(plan: Plan, images: int) -> float | None:
    """Rough cost of the search for `images` training images, from a rule and not a measurement.

    A training step costs three forward passes: one forward, two backward. `None` where a
    library's network is searched, whose cost isn't known.
    """
    costs = _step_gmacs(plan.preview)
    if costs is None:
        return None
    rate = sum(kind.concurrent * _gmacs_per_s(kind) for kind in plan.resources.kinds)
    return expected_epochs(plan) * images * sum(costs) / len(costs) / rate


def longest_epoch_s(plan: Plan, images: int) -> float | None:
    """By the same rule, one epoch of the costliest trial that is known beforehand."""
    costs = _step_gmacs([plan.bounds.largest, *plan.preview])
    rate = min(_gmacs_per_s(kind) for kind in plan.resources.kinds)
    return images * max(costs) / rate if costs else None


def _step_gmacs(configs: Sequence[TrialConfig]) -> list[float] | None:
    """For each configuration, what one image of a training step costs."""
    costs = [forward_gmacs(c.network, c.image_size, c.stem) for c in configs]
    known = [3 * cost for cost in costs if cost is not None]
    return known if len(known) == len(costs) else None


def _gmacs_per_s(kind: Resources) -> float:
    """Of one trial."""
    return GMACS_PER_GPU * kind.gpus or GMACS_PER_THREAD * kind.threads
