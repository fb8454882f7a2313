"""Plans the screening before a search's trials: how short its trainings are, and how many."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from common.durations import seconds_of
from search.config.options import SCREENING
from search.early_stopping.asha import default_grace
from search.hardware.training_speed import TrainingSpeed
from search.planning.cost_estimate import expected_epoch_s
from search.planning.plan import Plan
from search.study.screening import KEPT
from trainables.catalog import is_external
from trainables.config import TrialConfig

SMALLEST_PX = 32
"""`TrialConfig` allows no smaller images."""

SHARES = (1 / 4, 1 / 2, 1.0)
"""A short training sees the least of these shares of the images that leaves enough of them."""

LEAST_PER_CLASS, LEAST_STEPS = 10, 4
"""A share of the images leaves at least so many of each class, on average, and so many optimizer
steps of the baseline in an epoch. Recorded short trainings with 11 images a class and 7 steps still
predict the end (results/published/rungs.md).
"""

SMALLER = 1 / 2
"""A short training sees images of this share of their size, where the baseline's then still have
`TrialConfig`'s least size. Networks of other libraries may be made for one size only, and keep it.
"""

OVERHEAD = 1.5
"""A short training costs so many times what its epochs, its images and their size let expect: it
evaluates all of val, builds a network too, and processors are slower on small images. It was 1.5 on
the recorded table of EfficientNet-Lite0, and 2 in a search beside other work.
"""

FEWEST, MOST = 12, 48
"""A screening trains so many configurations. Together they cost at most one full training; fewer
aren't worth while.
"""


TIME_SHARE = 1 / 5
"""A screening takes at most this share of the time or the GPU-hours that limit a search, as far as
the speed of training is known before it.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScreeningPlan:
    """Says what a screening trains: `count` configurations, the baseline first, for `epochs`
    epochs, on a share `images` of the training images of each class, at a share `size` of each
    configuration's own image size. `cost` is that of one such training, as a share of a full one.
    """

    count: int
    epochs: int
    images: float
    size: float
    cost: float

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Builds a plan from what `dataclasses.asdict` wrote to a manifest."""
        return cls(**value)

    def shorten(self, config: TrialConfig) -> TrialConfig:
        """Returns what is trained of a configuration: what counts in epochs shrinks with them, and
        nothing is compiled, which would take longer than the training.
        """
        return shorten(config, self.epochs, self.size).but(compile=False)

    def epochs_worth(self, epochs: int) -> float:
        """Returns how many epochs of a full training, of `epochs` in all, the screening takes."""
        return self.count * self.cost * epochs

    def describe(self) -> str:
        """Returns the plan in words."""
        size = f" at {self.size:g} of their size" if self.size < 1 else ""
        images = f"{self.images:g} of the images" if self.images < 1 else "all images"
        return (
            f"{self.count} configurations for {self.epochs} epochs on {images}{size}, "
            f"{self.count * self.cost:.2g} full trainings in all, and the best {KEPT} are tried "
            "first"
        )


def shorten(config: TrialConfig, epochs: int, size: float) -> TrialConfig:
    """Returns a configuration with fewer epochs, at a share `size` of its image size; what counts
    in epochs shrinks with them.
    """
    changes: dict[str, Any] = {
        "epochs": epochs,
        "warmup_epochs": config.warmup_epochs * epochs / config.epochs,
        "image_size": max(SMALLEST_PX, round(size * config.image_size)),
    }
    if config.schedule == "step":
        steps = config.effective_value("step_epochs")
        changes["step_epochs"] = max(1, round(steps * epochs / config.epochs))
    return config.but(**changes)


def plan_screening(
    plan: Plan, images: int | None, classes: int, speed: TrainingSpeed | None = None
) -> ScreeningPlan | str | None:
    """Returns the screening of a new run, or a phrase on why there is none yet, or none at all.
    Returns `None` where the options don't ask for one.

    images: the number of training images, or `None` while it isn't known.
    speed: estimates the epochs of so many images, if that is possible.
    """
    if plan.options.fidelity != SCREENING:
        return None
    if images is None:
        return "short trainings of many configurations, planned once the dataset is prepared"
    baseline, epochs = plan.baseline, default_grace(plan.epochs)
    size = SMALLER if all(map(_may_shrink, plan.bounds.usual or [baseline])) else 1.0
    least = max(LEAST_PER_CLASS * classes, LEAST_STEPS * baseline.batch_size)
    share = next((each for each in SHARES if each * images >= least), 1.0)
    cost = OVERHEAD * epochs / plan.epochs * share * size**2
    most = min(1.0, _trainings_in_time(plan, speed))
    return size_screening(epochs=epochs, images=share, size=size, cost=cost, most=most) or (
        f"none: {FEWEST} short trainings, of {epochs} epochs on {share:g} of the images, would "
        f"cost {FEWEST * cost:.2g} full ones, and may cost {most:.2g}"
    )


def size_screening(
    *, epochs: int, images: float, size: float, cost: float, most: float = 1.0
) -> ScreeningPlan | None:
    """Returns a screening of as many short trainings as cost `most` full ones together, `MOST` of
    them at the most, or `None` where these are fewer than `FEWEST`. `cost` is that of one of them,
    as a share of a full training.
    """
    if (count := min(int(most / cost), MOST)) < FEWEST:
        return None
    return ScreeningPlan(count=count, epochs=epochs, images=images, size=size, cost=cost)


def _trainings_in_time(plan: Plan, speed: TrainingSpeed | None) -> float:
    """Returns how many full trainings fit into a screening's share of what limits the search."""
    options, found = plan.options, expected_epoch_s(plan, speed) if speed else None
    limits = [seconds_of(options.time_budget) or math.inf]
    if options.gpu_hours and plan.resources.gpus_held:
        limits.append(options.gpu_hours * 3600 / plan.resources.gpus_held)
    if found is None:
        return math.inf
    return TIME_SHARE * min(limits) * plan.resources.at_once / (found[0] * plan.epochs)


def _may_shrink(baseline: TrialConfig) -> bool:
    return not is_external(baseline.network) and baseline.image_size * SMALLER >= SMALLEST_PX
