"""Plans the screening before a search's trials: how short its trainings are, and how many."""

from search.config.options import SCREENING
from search.early_stopping.asha import default_grace
from search.planning.plan import Plan
from search.study.screening import SMALLEST_PX, ScreeningPlan
from trainables.catalog import is_external
from trainables.config import TrialConfig

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

FEWEST, MOST = 12, 48
"""A screening trains so many configurations. Together they cost at most one full training, which
isn't worth while for fewer.
"""


def plan_screening(plan: Plan, images: int, classes: int) -> ScreeningPlan | str:
    """Returns the screening of a new run on so many training images and classes, or a phrase on
    why there is none.
    """
    baseline, epochs = plan.baseline, default_grace(plan.epochs)
    size = SMALLER if _may_shrink(baseline) else 1.0
    least = max(LEAST_PER_CLASS * classes, LEAST_STEPS * baseline.batch_size)
    share = next((each for each in SHARES if each * images >= least), 1.0)
    cost = epochs / plan.epochs * share * size**2
    return size_screening(epochs=epochs, images=share, size=size, cost=cost) or (
        f"none: a short training, of {epochs} epochs on {share:g} of the images, would cost "
        f"{cost:.2g} of a full one, and {FEWEST} of them more than one"
    )


def size_screening(*, epochs: int, images: float, size: float, cost: float) -> ScreeningPlan | None:
    """Returns a screening of as many short trainings as cost one full one together, `MOST` at the
    most, or `None` where these are fewer than `FEWEST`. `cost` is that of one of them, as a share
    of a full training.
    """
    if (count := min(int(1 / cost), MOST)) < FEWEST:
        return None
    return ScreeningPlan(count=count, epochs=epochs, images=images, size=size, cost=cost)


def find_screening(plan: Plan, images: int | None, classes: int) -> ScreeningPlan | None:
    """Returns the screening that the options of a new run ask for, or `None` where there is none.

    images: the number of training images, or `None` while it isn't known.
    """
    if plan.options.fidelity != SCREENING or images is None:
        return None
    found = plan_screening(plan, images, classes)
    return found if isinstance(found, ScreeningPlan) else None


def describe_screening(plan: Plan, images: int | None, classes: int) -> str:
    """Returns what precedes the trials of a new run. The text is empty where nothing does."""
    if plan.options.fidelity != SCREENING:
        return ""
    if images is None:
        return "short trainings of many configurations, planned once the dataset is prepared"
    found = plan_screening(plan, images, classes)
    return found if isinstance(found, str) else found.describe()


def _may_shrink(baseline: TrialConfig) -> bool:
    return not is_external(baseline.network) and baseline.image_size * SMALLER >= SMALLEST_PX
