"""Describes what a search may cost, and how fast this machine trains, with the basis of each."""

from common.text import format_duration
from search.hardware.calibration import Measurement
from search.hardware.training_speed import Source, TrainingSpeed
from search.planning.cost_estimate import (
    epoch_s_of_networks,
    expected_epoch_s,
    expected_epochs,
)
from search.planning.plan import Plan
from search.planning.screening import ScreeningPlan

_HOW_TO_MEASURE = ": --dry-run --measure measures it"


def describe_speed(measurement: Measurement | None, plan: Plan | None = None) -> str:
    """Returns how fast a trial of the baseline trains, and in which precision. Where the plan's
    trials have several networks, the text names the baseline's. It is empty where nothing was
    measured.
    """
    if measurement is None or measurement.rate is None:
        return ""
    several = f" with {plan.baseline.network}" if plan and plan.bounds.usual else ""
    return f"{measurement.describe_rates()}{several}; trains in {measurement.precision}"


def describe_cost(
    plan: Plan,
    images: int | None,
    speed: TrainingSpeed | None,
    screening: ScreeningPlan | str | None = None,
) -> str:
    """Returns the estimated epochs and hours of the search, with the basis of the estimate.

    images: the number of training images in an epoch, if it is known.
    speed: estimates the epochs of so many images.
    screening: what precedes the trials, if anything does.
    """
    epochs = expected_epochs(plan)
    if isinstance(screening, ScreeningPlan):
        epochs += screening.epochs_worth(plan.epochs)
    if images is None or speed is None:
        return f"about {epochs:.0f} epochs; the time is known once the dataset is prepared"
    found, each = expected_epoch_s(plan, speed), epoch_s_of_networks(plan, speed)
    if found is None:
        names = ", ".join(name for name, epoch_s in each.items() if epoch_s is None)
        unknown = f"the cost of {names} is unknown" if names else "the network's cost is unknown"
        return f"about {epochs:.0f} epochs of {images:,} images; {unknown}{_HOW_TO_MEASURE}"
    epoch_s, source = found
    duration = format_duration(epochs * epoch_s / plan.resources.at_once)
    how = _HOW_TO_MEASURE if source is Source.RULE else ""
    times = ", ".join(f"{name} {format_duration(s)}" for name, s in each.items() if s is not None)
    apart = f"; an epoch of {times}" * bool(times)
    return f"about {epochs:.0f} epochs of {images:,} images, {duration} ({source}{how}){apart}"


def describe_screening(screening: ScreeningPlan | str | None) -> str:
    """Returns what precedes the trials, or why nothing does. The text is empty where nothing was
    asked for.
    """
    return screening.describe() if isinstance(screening, ScreeningPlan) else screening or ""
